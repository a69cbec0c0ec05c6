"""One at a time on a board: a file on the board itself says who, until when, across processes and hosts.

Time is the board's own: ``/proc/uptime``, which nobody sets, with a boot id, so that a restart ends every lease;
``date`` where there is neither. A lease is short; whoever holds one renews it from a thread of its own, so that a long
timing keeps the board and a holder that dies loses it within :data:`SPAN_S`.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from mpsearch.errors import MpsearchError, SetupError, TransientError
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
SPAN_S = 90.0
"""How long a lease lasts without being renewed."""
BEATS = 3
"""How often it is renewed within its span, so that a lost packet or two do not lose the board."""
_ANSWER_S = 20.0
"""A renewal that takes longer than this has failed."""


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
    span_s: how long the lease lasts without being renewed.
    """

    transport: Transport
    folder: str
    wait_s: float = 3600.0
    say: Callable[[str], None] = field(default=lambda text: None, repr=False)
    holder: str = field(default_factory=_me)
    span_s: float = SPAN_S
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Take the board, keep it for as long as the block runs, give it back.

        Raises:
            TransientError, SetupError: see :meth:`acquire`.
        """
        self.acquire()
        over = threading.Event()
        heart = threading.Thread(target=self._beat, args=(over,), name="mpsearch-lease", daemon=True)
        heart.start()
        try:
            yield
        finally:
            over.set()
            heart.join()
            with suppress(MpsearchError):  # over a broken connection it runs out by itself
                self.release()

    def acquire(self) -> None:
        """Take the board for :attr:`span_s` seconds; waits for whoever has it.

        Raises:
            TransientError: still taken after ``wait_s``.
            SetupError: the lease's file cannot be written.
        """
        end = self.clock() + self.wait_s
        empty_since: float | None = None
        told = False
        while True:
            word, *rest = self._ask("acquire").split() or ["nothing"]
            if word == "got":
                return
            if word == "expired" or (word == "held" and dead(rest[0])):
                self._ask("steal", rest[0])
                continue
            if word not in ("held", "empty", "again"):
                raise SetupError(
                    f"{self.transport.name}: the lease {self.folder}/lease cannot be written ({word})",
                    hint="Set `base` in the board's file to a folder that you may write.",
                )
            empty_since = (empty_since or self.clock()) if word == "empty" else None
            if empty_since is not None and self.clock() - empty_since > _EMPTY_S:
                self._ask("steal")
            if self.clock() > end:
                raise TransientError(
                    f"{self.transport.name}: still in use by {' '.join(rest) or 'another'} after {self.wait_s:g} s"
                )
            if word == "held" and not told:
                self.say(f"{self.transport.name}: waiting for {rest[0]}")
                told = True
            self.sleep(_POLL_S)

    def renew(self) -> None:
        """Keep the board for :attr:`span_s` seconds from now.

        Raises:
            LeaseLost: another has it, or had it meanwhile.
        """
        answer = self._ask("renew").strip()
        if answer != "got":
            raise LeaseLost(f"{self.transport.name}: lost to {answer.removeprefix('lost').strip() or 'nobody'}")

    def release(self) -> None:
        """Give the board back; harmless when it is another's."""
        self._ask("release")

    def _beat(self, over: threading.Event) -> None:
        while not over.wait(self.span_s / BEATS):
            try:
                self.renew()
            except LeaseLost:
                return  # whoever works under it learns of it at its next renewal
            except MpsearchError:
                continue  # a connection that breaks may come back before the lease runs out

    def _ask(self, operation: str, expect: str = "") -> str:
        span = str(max(1, round(self.span_s)))
        words = [operation, f"{self.folder}/lease", self.holder, span, expect]
        return self.transport.run(["sh", "-c", _SCRIPT, "mpsearch-lease", *words], timeout_s=_ANSWER_S).stdout
