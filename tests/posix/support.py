"""What the tests on a real mount share: a store and its mountpoint that always go away again, and a
runner that prints TAP, so that each case is counted.

A case is a function whose name is a sentence and that takes a Place. SSTFS names the binary;
SSTFS_KEEP=1 keeps the folders of failed cases. SSTFS_OPTIONS adds mount options to every mount.
"""
import ctypes
import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

SSTFS = os.environ.get('SSTFS', str(Path(__file__).resolve().parents[2] / 'build' / 'sstfs'))
START_S = 60
STOP_S = 120
WAIT_S = 30
AT_FDCWD, AT_SYMLINK_FOLLOW = -100, 0x400


class Failed(AssertionError):
    """A command that did not do what the case needs of it."""


def run(*command, code=0, **options):
    """Runs a command; its exit code must be `code` (None: any). Returns the CompletedProcess."""
    done = subprocess.run([str(word) for word in command], text=True, capture_output=True,
                          timeout=STOP_S, **options)
    if code is not None and done.returncode != code:
        raise Failed(f"{' '.join(map(str, command))}: exit code {done.returncode}, want {code}\n"
                     f"{done.stdout}{done.stderr}")
    return done


def sstfs(*arguments, code=0, **options):
    return run(SSTFS, *arguments, code=code, **options)


def no_damage(folder):
    """Fails unless `sstfs verify` proves the store or snapshot whole."""
    done = sstfs('verify', folder)
    if 'no damage' not in done.stdout:
        raise Failed(done.stdout)


def same_tree(a, b):
    """Fails unless the trees are equal: names, types, content, modes, owners, times, links, xattrs."""
    # -c reads both sides; what it would copy or delete is a difference.
    done = run('rsync', '-aHXnic', '--delete', '--exclude', '/.snapshots', f'{a}/', f'{b}/')
    if done.stdout.strip():
        raise Failed(f'{a} and {b} differ:\n{done.stdout}')


class Place:
    """A folder with a store and a mountpoint. Use mount() and umount(); the rest is cleaned up."""

    def __init__(self, name):
        base = os.environ.get('SSTFS_TEST_DIR') or tempfile.gettempdir()
        self.top = Path(tempfile.mkdtemp(prefix=f'sstfs-{name[:40]}-', dir=base)).resolve()
        self.store = self.top / 'store'
        self.mnt = self.top / 'mnt'
        self.log = self.top / 'log'
        self.mnt.mkdir()

    def mount(self, *options, store=None, mnt=None, code=0):
        words = [f'log={self.log}', 'memory=64M', *options]
        if os.environ.get('SSTFS_OPTIONS'):
            words.append(os.environ['SSTFS_OPTIONS'])
        return sstfs('mount', '-o', ','.join(words), store or self.store, mnt or self.mnt,
                     code=code)

    def umount(self, mnt=None):
        return sstfs('umount', mnt or self.mnt)

    def remount(self, *options):
        self.umount()
        return self.mount(*options)

    def daemon(self, mnt=None):
        """The process that serves the mount."""
        wanted = str(mnt or self.mnt).encode()
        for entry in Path('/proc').iterdir():
            if entry.name.isdigit():
                try:
                    words = (entry / 'cmdline').read_bytes().split(b'\0')
                except OSError:
                    continue
                if b'mount' in words and wanted in words:
                    return int(entry.name)
        raise Failed(f'no daemon serves {mnt or self.mnt}')

    def kill(self, how=signal.SIGKILL):
        """Returns when the daemon is dead to the last thread: the store's lock is free."""
        os.kill(self.daemon(), how)
        with open(self.store / 'LOCK', encoding='ascii') as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)

    def is_alive(self):
        """Whether somebody answers at the mountpoint."""
        try:
            os.listdir(self.mnt)
        except OSError as error:
            if error.errno in (errno.ENOTCONN, errno.ECONNABORTED):
                return False
            raise
        return True

    def stats(self):
        return json.loads(sstfs('stats', '--json', self.mnt).stdout)

    def snapshot(self, tag, mnt=None):
        """Its folder, complete."""
        folder = (mnt or self.mnt) / '.snapshots' / tag
        folder.mkdir()
        (folder / 'SHA256SUMS').read_bytes()  # waits for the tag
        return folder

    def clean(self, keep):
        mounted = [line.split()[4] for line in Path('/proc/self/mountinfo').read_text().splitlines()
                   if line.split()[4].startswith(f'{self.top}/')]
        for mountpoint in reversed(mounted):
            if subprocess.run([SSTFS, 'umount', mountpoint], capture_output=True).returncode != 0:
                lazy = ['umount', '-l'] if os.geteuid() == 0 else ['fusermount3', '-uz']
                subprocess.run([*lazy, mountpoint], capture_output=True)
        if not keep:
            shutil.rmtree(self.top, ignore_errors=True)


def copied_snapshot(place):
    """Mounts the place; a copy, beside the store, of a snapshot of eight files."""
    place.mount()
    for i in range(8):
        (place.mnt / f'file{i}').write_bytes(os.urandom(20000))
    copy = place.top / 'copy'
    run('cp', '-a', place.snapshot('one'), copy)
    return copy


def wait_until(is_so, what):
    """For what happens by itself, soon; fails when it does not."""
    end = time.monotonic() + WAIT_S
    while not is_so():
        if time.monotonic() > end:
            raise Failed(f'{what}: not within {WAIT_S} s')
        time.sleep(0.05)


def raises(code, call, *arguments, **options):
    """Fails unless the call raises OSError with that errno."""
    try:
        call(*arguments, **options)
    except OSError as error:
        if error.errno != code:
            raise Failed(f'errno {error.errno} ({error.strerror}), want {code}') from error
        return
    raise Failed(f'no error, want errno {code} ({os.strerror(code)})')


def as_user(uid, call):
    """Runs the call in a child with that user and group; fails if it fails."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            call()
            code = 0
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


libc = ctypes.CDLL(None, use_errno=True)


def libc_call(name, *arguments):
    """A call that Python lacks; raises OSError."""
    result = getattr(libc, name)(*arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def link_descriptor(fd, path):
    """As linkat(2) tells those without CAP_DAC_READ_SEARCH to do it."""
    libc_call('linkat', AT_FDCWD, f'/proc/self/fd/{fd}'.encode(), AT_FDCWD, os.fsencode(path),
              AT_SYMLINK_FOLLOW)


def at_once(*calls):
    """Each in a process of its own; fails when one fails."""
    children = []
    for call in calls:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                call()
                code = 0
            except Exception:
                traceback.print_exc()
            finally:
                os._exit(code)
        children.append(pid)
    assert not [pid for pid in children if os.waitpid(pid, 0)[1] != 0]


def renameat2(source, target, flags):
    return libc_call('renameat2', -100, os.fsencode(source), -100, os.fsencode(target),
                     ctypes.c_uint(flags))


def fallocate(fd, mode, offset, size):
    return libc_call('fallocate', fd, mode, ctypes.c_longlong(offset), ctypes.c_longlong(size))


def main_of_seeds(case, operations, seeds):
    """One case a seed: case(place, operations, seed). The command line: [OPERATIONS [SEED]]."""
    words = [int(word) for word in sys.argv[1:]]
    sys.argv[1:] = []

    def case_of(seed):
        def seeded(place):
            case(place, words[0] if words else operations, seed)
        seeded.__name__ = f'{case.__name__}_{seed}'
        return seeded
    return main([case_of(seed) for seed in words[1:2] or seeds])


def main(cases):
    """Runs each case in a place of its own; TAP on stdout."""
    only = sys.argv[1:]
    cases = [case for case in cases if not only or case.__name__ in only]
    print(f'1..{len(cases)}', flush=True)
    failures = 0
    for number, case in enumerate(cases, 1):
        place = Place(case.__name__)
        text = None
        try:
            case(place)
        except Exception:  # a failed case must not end the others
            text = traceback.format_exc()
            if place.log.exists():
                text += 'log of the daemon:\n' + place.log.read_text()[-4000:]
        place.clean(keep=text and os.environ.get('SSTFS_KEEP'))
        print(f"{'not ok' if text else 'ok'} {number} - {case.__name__}")
        if text:
            failures += 1
            print(''.join(f'# {line}\n' for line in text.splitlines()), end='')
        sys.stdout.flush()
    return 1 if failures else 0
