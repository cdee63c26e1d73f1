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


if __name__ == '__main__':
    sys.exit(support.main([no_more_is_resident_than_was_said]))
