"""One at a time on a board: a file on the board itself says who, until when, across processes and hosts.

Time is the board's own: ``/proc/uptime``, which nobody sets, with a boot id, so that a restart ends every lease;
``date`` where there is neither. A holder that dies stops renewing, and its lease runs out.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from mpsearch.errors import SetupError, TransientError
from mpsearch.transport.base import Transport

_SCRIPT = r"""
op=$1 file=$2 me=$3 span=$4 expect=$5
now=$(cut -d. -f1 /proc/uptime 2>/dev/null)
[ -n "$now" ] || now=$(date +%s)
boot=$(cat /proc/sys/kernel/random/boot_id 2>/dev/null)
line="$me $((now + span)) $boot"
who= until= where=
[ -e "$file" ] && read -r who until where < "$file"
case $op in
acquire)
  if (set -C; echo "$line" > "$file") 2>/dev/null; then echo got; exit; fi
  if [ "$who" = "$me" ]; then echo "$line" > "$file.$$" && mv -f "$file.$$" "$file" && echo got; exit; fi
  [ -d "${file%/*}" ] || { echo "nofolder"; exit; }
  [ -e "$file" ] || { echo again; exit; }
  [ -n "$who" ] || { echo empty; exit; }
  if [ "$where" != "$boot" ] || [ "$now" -ge "$until" ]; then echo "expired $who"; exit; fi
  echo "held $who $((until - now))" ;;
steal)
  mv "$file" "$file.old.$$" 2>/dev/null || { echo again; exit; }
  read -r who until where < "$file.old.$$"
  if [ "$who" = "$expect" ]; then rm -f "$file.old.$$"; else mv "$file.old.$$" "$file"; fi
  echo again ;;
renew)
  [ "$who" = "$me" ] || { echo "lost $who"; exit; }
  echo "$line" > "$file.$$" && mv -f "$file.$$" "$file" && echo got ;;
release)
  [ "$who" = "$me" ] && rm -f "$file"
  echo got ;;
esac
"""
_EMPTY_S = 10.0
"""A lease without content is one that is just being written; after so long its writer is taken for dead."""
_POLL_S = 0.5


class LeaseLost(TransientError):
    """Somebody else took the board, because this holder did not renew in time."""


def _host() -> str:
    """This computer, and within it whoever shares its process numbers."""
    try:
        space = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        space = 0
    return f"{socket.gethostname().replace(' ', '_') or 'host'}-{space}"


def _me() -> str:
    return f"{_host()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def dead(holder: str) -> bool:
    """Whether a holder was a process of this computer that is gone, so that nobody has to wait for its lease to end."""
    host, _, rest = holder.partition(":")
    number = rest.partition(":")[0]
    if host != _host() or not number.isdigit():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


@dataclass
class Lease:
    """Args:
    folder: on the board; must exist when the lease is taken.
    wait_s: how long to wait for another holder.
    """

    transport: Transport
    folder: str
    wait_s: float = 3600.0
    say: Callable[[str], None] = field(default=lambda text: None, repr=False)
    holder: str = field(default_factory=_me)
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    _until: float = field(default=0.0, init=False, repr=False)

    def acquire(self, span_s: float) -> None:
        """Take the board for ``span_s`` seconds; waits for whoever has it.

        Raises:
            TransientError: still taken after ``wait_s``.
            SetupError: the lease's file cannot be written.
        """
        end = self.clock() + self.wait_s
        empty_since: float | None = None
        told = False
        while True:
            word, *rest = self._ask("acquire", span_s).split() or ["nothing"]
            if word == "got":
                self._until = self.clock() + span_s
                return
            if word == "expired" or (word == "held" and dead(rest[0])):
                self._ask("steal", span_s, rest[0])
                continue
            if word not in ("held", "empty", "again"):
                raise SetupError(
                    f"{self.transport.name}: the lease {self.folder}/lease cannot be written ({word})",
                    hint="Set `base` in the board's file to a folder that you may write.",
                )
            empty_since = (empty_since or self.clock()) if word == "empty" else None
            if empty_since is not None and self.clock() - empty_since > _EMPTY_S:
                self._ask("steal", span_s, "")
            if self.clock() > end:
                raise TransientError(
                    f"{self.transport.name}: still in use by {' '.join(rest) or 'another'} after {self.wait_s:g} s"
                )
            if word == "held" and not told:
                self.say(f"{self.transport.name}: waiting for {rest[0]}")
                told = True
            self.sleep(_POLL_S)

    def renew(self, span_s: float) -> None:
        """Keep the board for ``span_s`` seconds from now.

        Raises:
            LeaseLost: another has it.
        """
        answer = self._ask("renew", span_s).strip()
        if answer != "got":
            raise LeaseLost(f"{self.transport.name}: lost to {answer.removeprefix('lost').strip() or 'nobody'}")
        self._until = self.clock() + span_s

    def ensure(self, span_s: float) -> None:
        """Renew when less than ``span_s`` seconds are left.

        Raises:
            LeaseLost: another has it.
        """
        if self._until - self.clock() < span_s:
            self.renew(span_s)

    def release(self) -> None:
        """Give the board back; harmless when it is another's."""
        self._ask("release", 0)

    def _ask(self, operation: str, span_s: float, expect: str = "") -> str:
        words = [operation, f"{self.folder}/lease", self.holder, str(max(1, round(span_s))), expect]
        return self.transport.run(["sh", "-c", _SCRIPT, "mpsearch-lease", *words]).stdout
