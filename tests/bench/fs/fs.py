#!/usr/bin/env python3
"""The daily loads on a mount of ours and on other file systems of the same disk, in turn; medians, ratios, bars.

usage: fs.py SSTFS FOLDER [--runs 3] [--scale 1] [--options memory=1G] [--peers ext4,mergerfs,xfs] [--other NAME=DIR]
             [--loads one_file,small_files,tree,git,one_directory,databases,names] [--trees TREE…]
       fs.py SSTFS FOLDER --split [--loads …] [--scale 1] [--options memory=1G] [--trees TREE…]

FOLDER is on the disk to measure; the store, the mountpoints and the peers are made in it and removed at the end. `ext4`
stands for a directory of that disk, whatever file system it has. DIR of --other is any mounted directory; it is made
cold by dropping the kernel's caches alone. --split measures no peer: it says of each row where the time of ours goes, to
the caller, the kernel, and each part of the daemon (split.py), and how many requests it is. Needs root, and the packages of `tools/setup --bench`.
"""
import argparse
import os
import statistics
import subprocess
import tempfile
from pathlib import Path

from loads import ROWS, Loads
from material import Material
from places import Directory, Mergerfs, Sstfs, Xfs, remove
from split import Split

XFS_GIB = 8


def compile_calls(folder):
    program = folder / 'calls'
    source = Path(__file__).with_name('calls.c')
    subprocess.run(['cc', '-O2', '-Wall', '-Wextra', '-Werror', '-Wno-format-truncation', '-D_GNU_SOURCE', '-o', program, source], check=True)
    return program


def make_places(base, options):
    places = [Sstfs(os.path.abspath(options.sstfs), base / 'store', base / 'sstfs', options.options)]
    makers = {
        'ext4': lambda: Directory('ext4', base / 'ext4'),
        'mergerfs': lambda: Mergerfs(base / 'branch', base / 'mergerfs'),
        'xfs': lambda: Xfs(base / 'xfs.img', base / 'xfs', XFS_GIB),
    }
    for peer in filter(None, options.peers.split(',')):
        places.append(makers[peer]())
    for other in options.other:
        name, path = other.split('=', 1)
        places.append(Directory(name, path))
    return places


def verdict(row, ours, peers):
    """Each bar: the ratio, what is asked, and whether it is met."""
    words = []
    for peer, bar in row.bars.items():
        ratio = ours if peer == 'sstfs' else ours / peers[peer] if peers.get(peer) else None
        if ratio is None:
            continue
        met = ratio >= bar if row.more_is_better else ratio <= bar
        words.append(f"{'' if met else 'MISSED '}{ratio:.2f} {'of' if peer == 'sstfs' else 'x'} {peer} "
                     f"({'>=' if row.more_is_better else '<='} {bar:g})")
    return ', '.join(words)


def report(values, places):
    names = [place.name for place in places]
    print(f"{'row':24} {'unit':6}" + ''.join(f'{name:>11}' for name in names) + '  ratio and bar')
    for name, row in ROWS.items():
        medians = {place: statistics.median(values[place][name]) for place in names if name in values[place]}
        if 'sstfs' not in medians:
            continue
        cells = ''.join(f'{medians[place]:11.4g}' if place in medians else f"{'-':>11}" for place in names)
        print(f"{name:24} {row.unit:6}{cells}  {verdict(row, medians['sstfs'], medians)}")
    for place in places:
        if place.cpu_s:
            print(f'{place.name}: {place.cpu_s:.1f} s CPU over all, peak RSS {place.peak_kib / 1024:.0f} MiB')


def run_loads(places, material, program, options):
    """Place -> row -> values."""
    values = {place.name: {} for place in places}
    wanted = list(filter(None, options.loads.split(',')))
    for _ in range(options.runs):
        for place in places:
            for row, value in Loads(place, material, program, options.scale).all(wanted):
                values[place.name].setdefault(row, []).append(value)
    return values


def print_split(place, material, program, options, folder):
    split = Split(place, folder)
    loads = Loads(place, material, program, options.scale, split.watch)
    for row, _ in loads.all(list(filter(None, options.loads.split(',')))):
        split.report(row)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('sstfs')
    parser.add_argument('folder', type=Path)
    parser.add_argument('--runs', type=int, default=3)
    parser.add_argument('--scale', type=float, default=1)
    parser.add_argument('--options', default='memory=1G')
    parser.add_argument('--peers', default='ext4,mergerfs,xfs')
    parser.add_argument('--other', action='append', default=[])
    parser.add_argument('--loads', default='')
    parser.add_argument('--trees', nargs='*')
    parser.add_argument('--split', action='store_true')
    options = parser.parse_args()
    if options.split:
        options.peers, options.other = '', []
    base = Path(tempfile.mkdtemp(prefix='sstfs-bench-', dir=options.folder)).resolve()
    places = []
    try:
        program = compile_calls(base)
        material = Material(base / 'material', options.trees)
        places = make_places(base, options)
        if options.split:
            print_split(places[0], material, program, options, base)
        else:
            values = run_loads(places, material, program, options)
    finally:
        for place in places:
            place.close()
    if options.split:
        remove(base)
        return
    print(f'{options.runs} runs, medians; tree: {material.names} names, {material.bytes / 2**20:.0f} MiB')
    report(values, places)
    remove(base)


if __name__ == '__main__':
    main()
