#!/usr/bin/env python3
"""Goal: the daemon keeps to memory= and 64 MiB more, whatever it is asked to do.
Method: the least memory there is, four writers and readers at once, many small files, and what
the kernel says of the most that was ever resident.
"""
import os
import subprocess
import sys

import support
from support import Failed

MIB = 1 << 20
MEMORY = 32 * MIB
BESIDES = 64 * MIB
FILES = 60_000  # more than twice as many as may be remembered


def resident_max(pid):
    with open(f'/proc/{pid}/status', encoding='ascii') as status:
        for line in status:
            if line.startswith('VmHWM:'):
                return int(line.split()[1]) << 10
    raise Failed('the kernel does not say how much was resident')


def at_once(commands):
    for each in [subprocess.Popen(command, shell=True) for command in commands]:
        if each.wait() != 0:
            raise Failed(f'{each.args}: exit code {each.returncode}')


def no_more_is_resident_than_was_said(place):
    place.mount(f'memory={MEMORY >> 20}M')
    pid = place.daemon()
    at_once(f'dd if=/dev/urandom of={place.mnt}/random{i} bs=1M count=64 status=none'
            for i in range(4))
    for i in range(4000):
        folder = place.mnt / f'd{i // 100}'
        if i % 100 == 0:
            folder.mkdir()
        (folder / f'f{i}').write_bytes(os.urandom(i % 8000))
    at_once(f'cat {place.mnt}/random{i} > /dev/null' for i in range(4))
    at_once(f'rm -r {place.mnt}/random{i} {place.mnt}/d{i}*' for i in range(1, 4))
    most = resident_max(pid)
    if most > MEMORY + BESIDES:
        raise Failed(f'{most >> 20} MiB were resident, memory= was {MEMORY >> 20} MiB')


def what_is_mounted_on_a_file_stays_when_names_are_forgotten(place):
    if os.geteuid() != 0:
        return
    place.mount(f'memory={MEMORY >> 20}M')
    above = place.top / 'above'
    above.write_text('above')
    for name in 'file', 'with blank':
        path = place.mnt / name
        path.write_text('below')
        support.run('mount', '--bind', above, path)
    try:
        for i in range(FILES):
            folder = place.mnt / f'd{i // 2000}'
            if i % 2000 == 0:
                folder.mkdir()
            os.mknod(folder / f'{i}')
        subprocess.run(['ls', '-lR', place.mnt], stdout=subprocess.DEVNULL, check=True)
        nodes = place.stats()['nodes']
        assert nodes < FILES // 2, f'{nodes} are remembered, so nothing was asked for'
        for name in 'file', 'with blank':
            assert (place.mnt / name).read_text() == 'above', name
    finally:
        for name in 'file', 'with blank':
            support.run('umount', place.mnt / name, code=None)


if __name__ == '__main__':
    sys.exit(support.main([
        no_more_is_resident_than_was_said,
        what_is_mounted_on_a_file_stays_when_names_are_forgotten,
    ]))
