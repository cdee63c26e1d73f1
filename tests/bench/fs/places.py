"""What is measured: file systems on one disk, each a directory to work in that can be made cold."""
import os
import shutil
import subprocess
import time
from pathlib import Path


def run(*command, **options):
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL, **options)


def drop_caches():
    run('sync')
    try:
        Path('/proc/sys/vm/drop_caches').write_text('3', encoding='ascii')
    except OSError as error:
        raise SystemExit(f'fs.py: cannot drop caches: {error}: run as root') from error


def ticks_of(pid):
    """CPU seconds of a process so far."""
    fields = Path(f'/proc/{pid}/stat').read_text(encoding='ascii').rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def peak_of(pid):
    """Largest RSS of a process, in KiB."""
    return int(Path(f'/proc/{pid}/status').read_text(encoding='ascii').split('VmHWM:')[1].split()[0])


def device_bytes_written(path):
    """Bytes that the disk below the path has written since it is there."""
    device = os.stat(path).st_dev
    text = Path(f'/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat').read_text(encoding='ascii')
    return int(text.split()[6]) * 512


class Directory:
    """A directory of a file system of the kernel."""

    def __init__(self, name, path):
        self.name, self.path = name, Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        self.cpu_s, self.peak_kib = 0.0, 0

    def cold(self):
        drop_caches()

    def stored_bytes(self):
        return None

    def close(self):
        pass


class Served(Directory):
    """A FUSE mount whose daemon is ended and begun again to be cold."""

    def __init__(self, name, path, command):
        super().__init__(name, path)
        self.command = command
        self.log = self.path.with_name(f'{name}.log')
        self.daemon = None
        self.mount()

    def mount(self):
        with open(self.log, 'ab') as log:
            self.daemon = subprocess.Popen([str(word) for word in self.command], stdout=log, stderr=log)
        while not os.path.ismount(self.path):
            if self.daemon.poll() is not None:
                raise SystemExit(f'fs.py: {self.name} does not mount:\n{self.log.read_text()}')
            time.sleep(0.01)

    def unmount(self):
        self.cpu_s += ticks_of(self.daemon.pid)
        self.peak_kib = max(self.peak_kib, peak_of(self.daemon.pid))
        run('fusermount3', '-u', self.path)
        self.daemon.wait()

    def cold(self):
        self.unmount()
        drop_caches()
        self.mount()

    def close(self):
        self.unmount()


class Sstfs(Served):
    """A mount of ours."""

    def __init__(self, binary, store, path, options):
        self.store = Path(store)
        super().__init__('sstfs', path, [binary, 'mount', '-f', '-o', options, store, path])

    def stored_bytes(self):
        data = self.store / 'data'
        return sum(file.stat().st_blocks * 512 for file in data.rglob('*') if file.is_file())


class Mergerfs(Served):
    """The best-tuned FUSE peer: one branch over a directory of the disk."""

    def __init__(self, branch, path):
        Path(branch).mkdir(parents=True, exist_ok=True)
        super().__init__('mergerfs', path,
                         ['mergerfs', '-f', '-o', 'cache.files=auto-full,dropcacheonclose=false', branch, path])


class Xfs(Directory):
    """XFS in a file of the disk."""

    def __init__(self, image, path, size_gib):
        super().__init__('xfs', path)
        with open(image, 'wb') as file:
            file.truncate(size_gib << 30)
        run('mkfs.xfs', '-q', image)
        run('mount', '-o', 'loop', image, path)

    def close(self):
        run('umount', self.path)


def remove(path):
    shutil.rmtree(path, ignore_errors=True)
