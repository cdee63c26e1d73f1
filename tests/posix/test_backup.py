#!/usr/bin/env python3
"""Goal: a backup is complete, moves only what is new, survives whatever interrupts it, and gives
back what was: one file, a folder, or everything.
Method: the commands on real folders; a stand-in for ssh that runs the command here; disks that are
full, programs that are missing, copies cut short.
"""
import calendar
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import support
from support import Failed, run, same_tree, sstfs
from test_round_trip import make_tree

NO_TERMINAL = {'stdin': subprocess.DEVNULL}


def snapshot_names(place):
    return sorted(set(os.listdir(place.mnt / '.snapshots')) - {'latest'})


def backup(place, to, *options, code=0, **more):
    done = sstfs('backup', *options, place.mnt, to, code=code, **more)
    if code in (0, None):
        return done
    if len(done.stderr.splitlines()) != 1:
        raise Failed(f'not one clear line:\n{done.stderr}')
    return done


def sets_in(folder):
    return sorted(name for name in os.listdir(folder) if name != 'incomplete')


def one_line(done):
    if len(done.stderr.splitlines()) != 1 or not done.stderr.startswith('sstfs: '):
        raise Failed(f'not one clear line:\n{done.stderr}')
    return done.stderr


def inodes_of(folder):
    return {path.stat().st_ino for path in folder.rglob('nb-*')}


def backups_share_what_they_have_in_common(place):
    make_tree(place.top / 'one')
    place.mount()
    run('cp', '-a', place.top / 'one', place.mnt / 'tree')
    sets = place.top / 'sets'
    sets.mkdir()
    backup(place, sets, '--verify', '--tag', 'absent', code=4)
    first = backup(place, sets, '--verify').stdout.strip()
    assert snapshot_names(place) == []  # the tag was made for the copy only
    support.no_damage(first)
    (place.mnt / 'later').write_text('x')
    place.snapshot('mine')
    second = backup(place, sets, '--tag', 'mine').stdout.strip()
    assert second == f'{sets}/mine' and snapshot_names(place) == ['mine']
    assert sstfs('snapshot', 'holders', place.mnt, 'mine').stdout == ''
    backup(place, sets, '--tag', 'mine', code=5)
    support.no_damage(second)
    shared = inodes_of(sets / 'mine') & inodes_of(type(sets)(first))
    assert len(shared) > 10, shared
    place.umount()
    place.mount('ro', store=first)
    same_tree(place.top / 'one', place.mnt / 'tree')
    assert not (place.mnt / 'later').exists()


def a_second_set_of_one_second_has_a_name_of_its_own(place):
    place.mount()
    (place.mnt / 'file').write_text('x')
    sets = place.top / 'sets'
    sets.mkdir()
    first = Path(backup(place, sets).stdout.strip())
    # As if one had been made in each second of the hour: whichever the next one is made in.
    made = calendar.timegm(time.strptime(first.name, '%Y-%m-%dT%H%M%SZ'))
    taken = {time.strftime('%Y-%m-%dT%H%M%SZ', time.gmtime(made + i)) for i in range(3600)}
    for name in taken - {first.name}:
        (sets / name).mkdir()
        os.link(first / 'snapshot.json', sets / name / 'snapshot.json')
    (place.mnt / 'file').write_text('y')
    names = [Path(backup(place, sets, '--verify').stdout.strip()).name for _ in range(2)]
    for name in names:
        assert name not in taken and name.rpartition('-')[0] in taken, name
        support.no_damage(sets / name)
        assert sstfs('cat', f'{sets / name}:file').stdout == 'y'
    assert len(set(names)) == 2 and snapshot_names(place) == []
    backup(place, sets, '--keep-last', '1')
    assert len(sets_in(sets)) == 1


def the_destination_is_listed_once(place):
    """It may be far away, and hold much."""
    place.mount()
    sets, tools, calls = place.top / 'sets', place.top / 'tools', place.top / 'calls'
    sets.mkdir()
    tools.mkdir()
    (tools / 'rsync').write_text(f'#!/bin/sh\necho "$*" >> {calls}\nexec {shutil.which("rsync")} "$@"\n')
    (tools / 'rsync').chmod(0o755)
    env = {**os.environ, 'PATH': f"{tools}:{os.environ['PATH']}"}
    for tag in 'a', 'b', 'c':
        place.snapshot(tag)
        calls.write_text('')
        backup(place, sets, '--verify', '--tag', tag, '--keep-last', '2', env=env)
        assert calls.read_text().count('--list-only') == 1, calls.read_text()
    assert sets_in(sets) == ['b', 'c']


def backups_rotate_by_rules(place):
    place.mount()
    sets = place.top / 'sets'
    sets.mkdir()
    for tag in 'a', 'b', 'c':
        place.snapshot(tag)
        (place.mnt / tag).write_text(tag)
        backup(place, sets, '--tag', tag)
    (sets / 'notes').mkdir()
    place.snapshot('d')
    done = backup(place, sets, '--tag', 'd', '--keep-last', '2')
    assert sets_in(sets) == ['c', 'd', 'notes'], (sets_in(sets), done.stdout)


def an_interrupted_copy_goes_on(place):
    place.mount()
    for i in range(6):
        (place.mnt / f'big{i}').write_bytes(os.urandom(1 << 20))
        sstfs('flush', place.mnt)
    sets = place.top / 'sets'
    sets.mkdir()
    place.snapshot('one')
    backup(place, sets, '--tag', 'one')
    # As if it had been cut off half way: some files there, one of them half.
    (sets / 'one').rename(sets / 'incomplete')
    data = sorted((sets / 'incomplete').rglob('nb-*-Data.db'))
    data[0].unlink()
    kept = data[1].stat().st_ino
    done = backup(place, sets, '--tag', 'one', '--verify')
    assert done.stdout.strip() == f'{sets}/one'
    assert (sets / 'one' / data[1].relative_to(sets / 'incomplete')).stat().st_ino == kept
    support.no_damage(sets / 'one')


def what_cannot_be_backed_up_is_said(place):
    place.mount()
    (place.mnt / 'file').write_bytes(os.urandom(1 << 20))
    sets = place.top / 'sets'
    sets.mkdir()
    backup(place, place.top / 'none', code=4)
    backup(place, sets, '--keep-last', 'x', code=2)
    sstfs('backup', place.mnt, code=2)
    tools = place.top / 'tools'
    tools.mkdir()
    done = backup(place, sets, code=4, env={**os.environ, 'PATH': str(tools)})
    assert "'rsync' is not installed" in done.stderr, done.stderr
    if os.geteuid() == 0:
        full = place.top / 'full'
        full.mkdir()
        run('mount', '-t', 'tmpfs', '-o', 'size=300k', 'none', full)
        backup(place, full, code=6)
        run('mount', '-o', 'remount,size=20M', full)
        backup(place, full, '--verify')  # the next one has room, and needs nothing of us
        assert len(sets_in(full)) == 1
        run('umount', full)
    other = place.top / 'other-mnt'
    other.mkdir()
    place.mount(store=place.top / 'other', mnt=other)
    backup(place, sets)
    done = sstfs('backup', other, sets, code=5)
    assert 'another store' in one_line(done)
    place.umount(other)
    assert snapshot_names(place) == []


def another_host_is_as_good(place):
    tools = place.top / 'tools'
    tools.mkdir()
    (tools / 'ssh').write_text('#!/bin/sh\n[ "$1" = backup-host ] || exit 255\nshift\nexec sh -c "$*"\n')
    (tools / 'ssh').chmod(0o755)
    env = {**os.environ, 'PATH': f"{tools}:{os.environ['PATH']}"}
    place.mount()
    (place.mnt / 'file').write_text('far away')
    sets = place.top / "it's far"
    sets.mkdir()
    for tag in 'one', 'two':
        place.snapshot(tag)
        backup(place, f'backup-host:{sets}', '--tag', tag, '--verify', '--keep-last', '2', env=env)
    assert sets_in(sets) == ['one', 'two']
    assert inodes_of(sets / 'one') == inodes_of(sets / 'two')
    support.no_damage(sets / 'two')
    backup(place, f'backup-host:{sets}', '--keep-last', '1', env=env)
    assert len(sets_in(sets)) == 1
    place.remount('archive=on')
    for i in range(3):
        place.snapshot(f'log-{i}')
        (place.mnt / 'file').write_text(f'closer {i}')
        backup(place, f'backup-host:{sets}', '--tag', f'log-{i}', '--verify', '--keep-last', '2', env=env)
    assert sets_in(sets) == ['log', 'log-1', 'log-2'] and len(os.listdir(sets / 'log')) == 2
    sstfs('restore', '--at', 'latest', sets / 'log-1', place.top / 'new')
    assert sstfs('cat', f"{place.top / 'new'}:file").stdout == 'closer 2'
    backup(place, f'no-host:{sets}', env=env, code=10)


def files_and_folders_are_restored(place):
    make_tree(place.top / 'one')
    place.mount()
    run('cp', '-a', place.top / 'one', place.mnt / 'tree')
    (place.mnt / 'file').write_text('old')
    place.snapshot('one')
    run('rm', '-rf', place.mnt / 'tree')
    (place.mnt / 'file').write_text('new')
    sstfs('restore', place.mnt, 'one', 'tree')
    same_tree(place.top / 'one', place.mnt / 'tree')
    done = sstfs('restore', place.mnt, 'one', 'file', code=5)
    assert '-y' in one_line(done) and (place.mnt / 'file').read_text() == 'new'
    sstfs('restore', '-y', place.mnt, 'one', place.mnt / 'file')
    assert (place.mnt / 'file').read_text() == 'old'
    aside = place.top / 'aside'
    aside.mkdir()
    one_line(sstfs('restore', '--to', aside, place.mnt, 'one', 'none', 'file', code=3))
    assert os.listdir(aside) == ['file']
    one_line(sstfs('restore', place.mnt, 'none', 'file', code=4))
    one_line(sstfs('restore', place.mnt, 'one', 'none', code=4))
    one_line(sstfs('restore', place.mnt, 'one', '/', code=2))


def a_copy_is_looked_into_without_a_mount(place):
    make_tree(place.top / 'one')
    place.mount()
    run('cp', '-a', place.top / 'one', place.mnt / 'tree')
    (place.mnt / 'file').write_text('content')
    run('cp', '-a', place.snapshot('one'), place.top / 'copy')
    copy = place.top / 'copy'
    listed = sstfs('ls', copy).stdout
    assert [line.split()[-1] for line in listed.splitlines()] == ['file', 'tree'], listed
    assert sstfs('cat', f'{copy}:file').stdout == 'content'
    assert sstfs('ls', f'{copy}:/file').stdout.startswith('-rw')
    one_line(sstfs('cat', f'{copy}:none', code=4))
    one_line(sstfs('cat', f'{copy}:tree', code=2))
    one_line(sstfs('ls', f'{copy}:file/x', code=4))
    one_line(sstfs('ls', place.top, code=8))
    one_line(sstfs('ls', place.top / 'none', code=4))
    one_line(sstfs('ls', place.store, code=9))
    out = place.top / 'out'
    out.mkdir()
    run('sh', '-c', f'"{support.SSTFS}" tar "$1:tree" | tar -C "$2" --xattrs --xattrs-include="*" --acls -xpf -',
        'sh', copy, out)
    same_tree(place.top / 'one', out / 'tree')
    place.umount()
    assert sstfs('cat', f'{place.store}:file').stdout == 'content'


def diff_tells_what_changed(place):
    place.mount()
    for name in 'd', 'd/sub', 'gone':
        (place.mnt / name).mkdir()
    for name in 'same', 'edited', 'd/moved', 'd/sub/kept', 'gone/file':
        (place.mnt / name).write_text(name)
    os.link(place.mnt / 'same', place.mnt / 'also')
    for name in 'valued', 'named', 'owned', 'given':
        (place.mnt / name).write_text(name)
        os.setxattr(place.mnt / name, 'user.a', b'one')
    place.snapshot('one')
    assert sstfs('diff', place.mnt, 'one').stdout == ''
    (place.mnt / 'edited').write_text('longer than it was')
    (place.mnt / 'same').chmod(0o600)
    os.setxattr(place.mnt / 'd' / 'sub' / 'kept', 'user.a', b'b')
    os.setxattr(place.mnt / 'valued', 'user.a', b'two')
    os.removexattr(place.mnt / 'named', 'user.a')
    os.setxattr(place.mnt / 'named', 'user.b', b'one')
    if os.geteuid() == 0:
        os.chown(place.mnt / 'owned', -1, 12)
        os.chown(place.mnt / 'given', 12, -1)
    else:
        os.chmod(place.mnt / 'owned', 0o600)
        os.chmod(place.mnt / 'given', 0o600)
    (place.mnt / 'd').rename(place.mnt / 'e')
    (place.mnt / 'e' / 'moved').rename(place.mnt / 'here')
    shutil.rmtree(place.mnt / 'gone')
    (place.mnt / 'also').unlink()
    (place.mnt / 'made').mkdir()
    (place.mnt / 'made' / 'file').write_text('x')
    place.snapshot('two')
    wanted = {'M /edited content size', 'M /same mode links', '- /also', 'R /d -> /e', 'R /d/moved -> /here',
              '- /gone', '- /gone/file', '+ /made', '+ /made/file', 'M /e names',
              'M /e/sub/kept xattr', 'M / names', 'M /valued xattr', 'M /named xattr',
              *(f'M /{name} {"owner" if os.geteuid() == 0 else "mode"}' for name in ('owned', 'given'))}
    for later in ['two'], []:
        done = sstfs('diff', place.mnt, 'one', *later, code=1)
        assert set(done.stdout.splitlines()) == wanted, done.stdout
    assert snapshot_names(place) == ['one', 'two']
    one_line(sstfs('diff', place.mnt, 'one', 'none', code=4))
    one_line(sstfs('diff', place.mnt, 'no/tag', code=2))


def diff_of_a_path_tells_what_lies_there(place):
    place.mount()
    for name in 'in', 'in/deep', 'in/deep/er', 'in/stays', 'out', 'out/moved-in':
        (place.mnt / name).mkdir()
    for name in 'in/edited', 'in/deep/file', 'in/deep/er/file', 'in/touched', 'out/edited', 'out/moved-in/file', 'in/stays/leaves':
        (place.mnt / name).write_text(name)
    place.snapshot('one')
    for name in 'in/edited', 'out/edited':
        (place.mnt / name).write_text('something else')
    os.utime(place.mnt / 'in' / 'touched', ns=(1, (place.mnt / 'in' / 'touched').stat().st_mtime_ns))
    # A directory that was below one that is gone, in one that is new: renamed, not removed and made.
    (place.mnt / 'in' / 'new').mkdir()
    (place.mnt / 'in' / 'new' / 'deep').mkdir()
    (place.mnt / 'in' / 'deep' / 'er').rename(place.mnt / 'in' / 'new' / 'deep' / 'er')
    shutil.rmtree(place.mnt / 'in' / 'deep')
    (place.mnt / 'in' / 'new' / 'deep' / 'er' / 'file').chmod(0o600)
    # Over the border of the path.
    (place.mnt / 'out' / 'moved-in').rename(place.mnt / 'in' / 'here')
    (place.mnt / 'in' / 'stays' / 'leaves').rename(place.mnt / 'out' / 'left')
    place.snapshot('two')
    inside = {'M /in names', 'M /in/edited content size', 'M /in/touched times', '- /in/deep', '- /in/deep/file',
              '+ /in/new', '+ /in/new/deep', 'R /in/deep/er -> /in/new/deep/er', 'M /in/new/deep/er/file mode',
              '+ /in/here', '+ /in/here/file', 'M /in/stays names', '- /in/stays/leaves'}
    for words in ['two', 'in'], ['two', '/in/'], ['two', place.mnt / 'in'], ['in']:
        done = sstfs('diff', place.mnt, 'one', *words, code=1)
        assert set(done.stdout.splitlines()) == inside, (words, done.stdout)
    whole = set(sstfs('diff', place.mnt, 'one', 'two', code=1).stdout.splitlines())
    assert {'R /out/moved-in -> /in/here', 'R /in/stays/leaves -> /out/left', 'M /out/edited content size'} < whole
    assert '+ /in/here/file' not in whole and '- /in/stays/leaves' not in whole
    assert sstfs('diff', place.mnt, 'one', 'two', 'in/edited', code=1).stdout == 'M /in/edited content size\n'
    assert sstfs('diff', place.mnt, 'one', 'two', 'in/new/deep', code=1).stdout.splitlines()[0] == '+ /in/new/deep'
    assert sstfs('diff', place.mnt, 'one', 'one', 'in').stdout == ''
    one_line(sstfs('diff', place.mnt, 'one', 'two', 'none', code=4))
    told = json.loads(sstfs('diff', '--json', place.mnt, 'one', 'two', 'in', code=1).stdout)
    assert {'change': 'M', 'path': '/in/edited', 'columns': ['content', 'size']} in told
    assert {'change': 'R', 'path': '/in/deep/er', 'to': '/in/new/deep/er'} in told
    assert {'change': '-', 'path': '/in/deep'} in told and len(told) == len(inside)
    assert json.loads(sstfs('diff', '--json', place.mnt, 'one', 'one').stdout) == []


def a_directory_of_many_names_is_compared(place):
    """More names than a page of them; both trees' ends are met in the middle of pages."""
    place.mount()
    many = place.mnt / 'many'
    many.mkdir()
    for i in range(1500):
        (many / f'name-{i:05}').write_text('')
    place.snapshot('one')
    for i in range(0, 1500, 3):
        (many / f'name-{i:05}').unlink()
    for i in range(1500, 2000):
        (many / f'name-{i:05}').write_text('')
    for i in range(1, 1500, 300):
        (many / f'name-{i:05}').rename(many / f'a-{i}')
    place.snapshot('two')
    lines = sstfs('diff', place.mnt, 'one', 'two', code=1).stdout.splitlines()
    kinds = [line[0] for line in lines]
    assert (kinds.count('-'), kinds.count('+'), kinds.count('R'), kinds.count('M')) == (500, 500, 5, 1), lines
    assert len(sstfs('ls', f'{place.top}/store/snapshots/two:many').stdout.splitlines()) == 1500


def resident_of_diff(place, *words):
    """The most that was ever resident, of us before it began at the least; and the lines, of which what
    follows the last slash."""
    with subprocess.Popen([support.SSTFS, 'diff', place.mnt, *words], stdout=subprocess.PIPE, text=True) as running:
        lines = [f"{line[0]} {line.rpartition('/')[2].strip()}" for line in running.stdout]
        _, status, usage = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
    assert running.returncode in (0, 1), running.returncode
    return usage.ru_maxrss << 10, lines


def diff_takes_no_memory_by_the_size_of_the_tree(place):
    place.mount()
    place.snapshot('empty')
    for i in range(40000):
        folder = place.mnt / f'folder{i // 4000}'
        if i % 4000 == 0:
            folder.mkdir()
        os.mknod(folder / f'{i}')
    place.snapshot('one')
    (place.mnt / 'made').write_text('')
    place.snapshot('two')
    least, lines = resident_of_diff(place, 'empty', 'empty')
    assert lines == []
    most, lines = resident_of_diff(place, 'one', 'two')
    assert sorted(lines) == ['+ made', 'M names'], lines
    # 40,000 nodes of each tree would take 28 MiB.
    if most > least + (8 << 20):
        raise Failed(f'{most >> 10} KiB were resident, {least >> 10} KiB for empty trees')


def make_deep(folder):
    """Its path takes 16 KiB: a descriptor of the last."""
    folder.mkdir()
    deep = os.open(folder, os.O_RDONLY)
    for _ in range(64):
        os.mkdir('d' * 255, dir_fd=deep)
        deeper = os.open('d' * 255, os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = deeper
    return deep


def diff_remembers_no_more_names_than_it_may(place):
    """What has no room is told as removed and made, a directory with all that is in it."""
    place.mount()
    gone, kept = make_deep(place.mnt / 'gone'), make_deep(place.mnt / 'kept')
    for i in range(8000):
        os.mknod(f'{i}', dir_fd=gone)
    os.close(gone)
    os.mkdir('before', dir_fd=kept)
    os.mknod('before/in', dir_fd=kept)
    place.snapshot('one')
    run('rm', '-rf', place.mnt / 'gone')
    os.rename('before', 'after', src_dir_fd=kept, dst_dir_fd=kept)
    os.close(kept)
    place.snapshot('two')
    assert resident_of_diff(place, 'two', 'two')[1] == []
    for tags, told in [(['one', 'two'], '-+'), (['two', 'one'], '+-')]:
        most, lines = resident_of_diff(place, *tags)
        wanted = [f'{told[0]} {name}' for name in ['gone', *['d' * 255] * 64, *range(8000), 'before']]
        wanted += [f'{told[1]} after', '- in', '+ in', 'M names', f"M {'d' * 255} names"]
        assert sorted(lines) == sorted(wanted), set(lines) ^ set(wanted)
        if most > 100 << 20:
            raise Failed(f'{most >> 20} MiB were resident, where names may take 64')


def diff_says_that_a_tree_is_too_deep(place):
    place.mount()
    place.snapshot('empty')
    for i in range(4200):
        (place.mnt / f'beside{i}').mkdir()
    deep = os.open(place.mnt, os.O_RDONLY)
    for depth in range(4097):
        os.mkdir('d', dir_fd=deep)
        deeper = os.open('d', os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = deeper
        if depth == 4094:
            place.snapshot('just')
    os.close(deep)
    place.snapshot('deeper')
    assert resident_of_diff(place, 'just', 'just')[1] == []
    assert len(resident_of_diff(place, 'empty', 'just')[1]) == 4200 + 4095 + 1
    for tags in ['empty', 'deeper'], ['deeper', 'empty'], ['deeper', 'deeper']:
        assert '4096 directories' in one_line(sstfs('diff', place.mnt, *tags, code=10))


def a_store_is_taken_back(place):
    make_tree(place.top / 'one')
    place.mount()
    run('cp', '-a', place.top / 'one', place.mnt / 'tree')
    place.snapshot('one')
    run('rm', '-rf', place.mnt / 'tree')
    (place.mnt / 'new').write_text('x' * 100000)
    sstfs('flush', place.mnt)
    sstfs('compact', place.mnt)
    place.snapshot('two')
    (place.mnt / 'newer').write_text('y')
    number = (place.mnt / 'newer').stat().st_ino
    one_line(sstfs('rollback', '-y', place.store, 'one', code=9))
    place.umount()
    one_line(sstfs('rollback', place.store, 'one', code=2, **NO_TERMINAL))
    one_line(sstfs('rollback', '-y', place.store, 'none', code=4))
    one_line(sstfs('rollback', '-y', place.top, 'one', code=8))
    sstfs('rollback', '-y', place.store, 'one')
    support.no_damage(place.store)
    place.mount()
    same_tree(place.top / 'one', place.mnt / 'tree')
    assert os.listdir(place.mnt) == ['tree']
    (place.mnt / 'again').write_text('z')
    assert (place.mnt / 'again').stat().st_ino >> 48 != number >> 48  # no number is given twice
    kept = [tag for tag in snapshot_names(place) if tag.startswith('before-rollback-')]
    assert len(kept) == 1
    assert sorted(os.listdir(place.mnt / '.past' / kept[0])) == ['new', 'newer']
    assert (place.mnt / '.past' / 'two' / 'new').read_text() == 'x' * 100000
    place.remount()
    same_tree(place.top / 'one', place.mnt / 'tree')
    sstfs('compact', place.mnt)
    place.umount()
    support.no_damage(place.store)
    shutil.rmtree(place.top / 'one')


if __name__ == '__main__':
    sys.exit(support.main([
        backups_share_what_they_have_in_common,
        a_second_set_of_one_second_has_a_name_of_its_own,
        the_destination_is_listed_once,
        backups_rotate_by_rules,
        an_interrupted_copy_goes_on,
        what_cannot_be_backed_up_is_said,
        another_host_is_as_good,
        files_and_folders_are_restored,
        a_copy_is_looked_into_without_a_mount,
        diff_tells_what_changed,
        diff_of_a_path_tells_what_lies_there,
        a_directory_of_many_names_is_compared,
        diff_takes_no_memory_by_the_size_of_the_tree,
        diff_remembers_no_more_names_than_it_may,
        diff_says_that_a_tree_is_too_deep,
        a_store_is_taken_back,
    ]))
