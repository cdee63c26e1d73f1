"""Where the time of a row goes: samples of all processors, by who ran and in which part of what code.

perf takes a sample of each processor each millisecond of it, idle or not, while the command of a row runs; who is not of
the load is told apart. A sample in the daemon's own code counts for the folder of the source file that its function is
in, as `nm -l` says; what the compiler put into another function counts for that one.
"""
import bisect
import os
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

SAMPLES_PER_S = 997  # not in step with what happens each millisecond

# What the kernel does for the daemon, by the first function that its stack has of these.
KERNEL_PARTS = [
    ('messages', re.compile('fuse_dev_|fuse_copy_|fuse_notify')),
    ('files below', re.compile('ext4_|xfs_|btrfs_|vfs_|filemap_|do_sync|blk_|ksys_(p?read|p?write)')),
    ('threads', re.compile('futex|schedule|do_epoll|ppoll')),
    ('memory', re.compile('page_fault|mmap|munmap|madvise|brk')),
]
SAMPLE = re.compile(r'^\s*(?P<pid>-?\d+)/-?\d+\s*$')
FRAME = re.compile(r'^\s+(?P<address>[0-9a-f]+) (?P<symbol>.*) \((?P<object>[^()]*(?:\([^()]*\))?)\)$')
FORK = re.compile(r'PERF_RECORD_(?:FORK|CLONE)\((?P<pid>\d+):\d+\):\((?P<parent>\d+):\d+\)')
COUNT = re.compile(r'^sstfs_request_seconds_(?P<what>count|sum)\{operation="(?P<operation>\w+)"\} (?P<value>\S+)$', re.M)


class Symbols:
    """In which folder of the sources the functions of a binary are."""

    def __init__(self, binary):
        text = subprocess.run(['nm', '-nl', '--defined-only', binary], check=True, capture_output=True, text=True).stdout
        self.addresses, self.folders = [], []
        for line in text.splitlines():
            head, _, path = line.partition('\t')
            address, kind, _ = head.split(' ', 2)
            if kind in 'tTwW':
                self.addresses.append(int(address, 16))
                found = re.match(r'.*/((?:engine|fs|tools)(?:/.*)?)/[^/]+:\d+$', os.path.normpath(path))
                self.folders.append(found[1] if found else 'linked in')
        if not any('/' in folder for folder in self.folders):
            raise SystemExit(f'fs.py: {binary} does not say where its functions are: build it with -g, and do not strip it')

    def folder(self, address):
        place = bisect.bisect_right(self.addresses, address) - 1
        return self.folders[place] if place >= 0 else 'linked in'


def requests_of(place):
    """What the kernel has asked of the mount, by operation: how often, and seconds until it was answered.

    A dozen of them are the asking itself.
    """
    values = {'count': Counter(), 'sum': Counter()}
    for found in COUNT.finditer((place.path / '.sstfs' / 'metrics').read_text(encoding='ascii')):
        values[found['what']][found['operation']] = float(found['value'])
    return values


def samples_of(text):
    """What perf script printed: (process, frames), the innermost first, each (address, symbol, object)."""
    pid, frames = None, []
    for line in text.splitlines():
        head = SAMPLE.match(line)
        if head:
            pid, frames = int(head['pid']), []
        elif line.startswith('\t') and pid is not None:
            found = FRAME.match(line)
            if found:
                frames.append((int(found['address'], 16), found['symbol'], found['object']))
        elif not line and pid is not None:
            yield pid, frames
            pid = None
    if pid is not None:
        yield pid, frames


class Interval:
    """One run of a row's command, and what perf saw of it."""

    def __init__(self, daemon, perf, data):
        self.daemon, self.perf, self.data = daemon, perf, data
        self.wall_s, self.requests, self.answer_s = 0, Counter(), 0

    def shares(self, symbols, binary):
        """Counts of samples by part."""
        text = subprocess.run(['perf', 'script', '-i', self.data, '--show-task-events', '-F', 'pid,tid,ip,sym,dso'],
                              check=True, capture_output=True, text=True, errors='replace').stdout
        family = {os.getpid()}
        for found in FORK.finditer(text):  # in the order of time
            if int(found['parent']) in family and int(found['pid']) not in (self.daemon, self.perf):
                family.add(int(found['pid']))
        return Counter(self.part(pid, family, frames, symbols, binary) for pid, frames in samples_of(text))

    def part(self, pid, family, frames, symbols, binary):
        if pid == 0:
            return 'idle'
        in_kernel = bool(frames) and is_kernel(frames[0])
        if pid == self.daemon:
            if in_kernel:
                return 'daemon, kernel: ' + kernel_part(frames)
            if frames and os.path.realpath(frames[0][2]) == binary:
                return 'daemon, ' + symbols.folder(frames[0][0])
            return 'daemon, ' + (library(frames[0][2]) if frames else 'unknown')
        if pid in family:
            return 'caller, kernel' if in_kernel else 'caller, itself'
        if in_kernel and is_kernel_thread(pid):
            return 'kernel threads'
        return 'others'


def is_kernel(frame):
    return frame[2].startswith('[') and frame[2] != '[vdso]'


def kernel_part(frames):
    for name, pattern in KERNEL_PARTS:
        if any(pattern.search(frame[1]) for frame in frames if is_kernel(frame)):
            return name
    return 'other'


def library(path):
    return re.sub(r'[-.]?\d*\.so.*$', '', os.path.basename(path)) or 'unknown'


def is_kernel_thread(pid):
    try:
        return not Path(f'/proc/{pid}/cmdline').read_bytes()
    except OSError:
        return False


class Split:
    """Watches what Loads runs, and prints a table for each row."""

    def __init__(self, place, folder):
        for program in 'perf', 'nm':
            if not shutil.which(program):
                raise SystemExit(f'fs.py: no {program} here: tools/setup --bench installs it')
        self.place, self.folder = place, folder
        self.binary = os.path.realpath(place.command[0])
        self.symbols = Symbols(self.binary)
        self.intervals, self.recordings = [], 0

    @contextmanager
    def watch(self):
        """What runs within belongs to the row that comes next."""
        self.recordings += 1
        data = self.folder / f'perf-{self.recordings}'
        before = requests_of(self.place)
        asked, asks = os.pipe()
        answers, answered = os.pipe()
        perf = subprocess.Popen(['perf', 'record', '-q', '-a', '-g', '-e', 'cpu-clock', '-F',
                                 str(SAMPLES_PER_S), '-D', '-1', f'--control=fd:{asked},{answered}', '-o', data],
                                pass_fds=[asked, answered], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(asked)
        os.close(answered)
        try:
            os.write(asks, b'enable\n')
            if not os.read(answers, 16):
                raise SystemExit('fs.py: perf does not record: run as root, and install linux-perf (tools/setup --bench)')
            begun = time.monotonic()
            yield
            wall_s = time.monotonic() - begun
            os.write(asks, b'disable\n')
            os.read(answers, 16)
        finally:
            perf.send_signal(signal.SIGINT)
            perf.wait()
            os.close(asks)
            os.close(answers)
        after = requests_of(self.place)
        interval = Interval(self.place.daemon.pid, perf.pid, data)
        interval.wall_s = wall_s
        interval.requests = after['count'] - before['count']
        interval.answer_s = sum((after['sum'] - before['sum']).values())
        self.intervals.append(interval)

    def report(self, row):
        """Prints what was seen since the last row."""
        intervals, self.intervals = self.intervals, []
        if not intervals:
            return
        parts = sum((interval.shares(self.symbols, self.binary) for interval in intervals), Counter())
        wall_s = sum(interval.wall_s for interval in intervals)
        requests = sum((interval.requests for interval in intervals), Counter())
        count = sum(requests.values())
        samples = sum(parts.values()) - parts['others']
        print(f'\n{row}: {wall_s:.2f} s on {os.cpu_count()} processors')
        if count:
            print(f'  {count:.0f} requests, {wall_s / count * 1e6:.1f} us of it for each, answered in '
                  f'{sum(interval.answer_s for interval in intervals) / count * 1e6:.1f} us: '
                  + ', '.join(f'{number:.0f} {name}' for name, number in requests.most_common(6)))
        for part, number in parts.most_common():
            if part != 'others' and number * 1000 >= samples:
                print(f'  {part:32} {number / SAMPLES_PER_S:8.3f} s {100 * number / samples:6.1f} %')
        if parts['others'] * 50 > samples:
            print(f"  (beside it, not counted: {parts['others'] / SAMPLES_PER_S:.3f} s of other processes)")
        for interval in intervals:
            interval.data.unlink()
