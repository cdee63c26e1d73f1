#!/usr/bin/env python3
"""Goal: a snapshot is one point of the whole tree; a plain copy of its folder is a full backup.
Method: take snapshots between changes, copy them with rsync, mount the copies, compare with what the
tree was; damage copies and see it found.
"""
import grp
import json
import os
import shutil
import sys
import time

import support
from support import Failed, raises, run, same_tree, sstfs
from test_round_trip import make_tree, same_tree_but_times


def backup(folder, to):
    run('rsync', '-a', '--delete', f'{folder}/', f'{to}/')
    return to


def next_second():
    """rsync takes files of equal size and equal second for equal: two tags in one second are too
    fast for it."""
    second = int(time.time())
    while int(time.time()) == second:
        time.sleep(0.05)


def a_copy_of_a_snapshot_mounts_and_holds_the_point(place):
    make_tree(place.top / 'tree')
    place.mount()
    run('cp', '-a', place.top / 'tree', place.mnt / 'tree')
    folder = place.snapshot('monday')
    run('rm', '-rf', place.mnt / 'tree')
    (place.mnt / 'later').write_text('not in it')
    copy = backup(folder, place.top / 'copy')
    place.umount()
    shutil.rmtree(place.store)
    support.no_damage(copy)
    run('sha256sum', '--quiet', '-c', 'SHA256SUMS', cwd=copy)
    place.mount(store=copy, code=2)
    place.mount('ro', store=copy)
    same_tree(place.top / 'tree', place.mnt / 'tree')
    assert sorted(os.listdir(place.mnt)) == ['tree']
    place.umount()
    run('sha256sum', '--quiet', '-c', 'SHA256SUMS', cwd=copy)


def a_store_is_made_from_a_copy(place):
    make_tree(place.top / 'tree')
    place.mount()
    run('cp', '-a', place.top / 'tree', place.mnt / 'tree')
    copy = backup(place.snapshot('one'), place.top / 'copy')
    place.umount()
    sstfs('init', '--from', copy, place.top / 'restored')
    sstfs('init', '--from', copy, place.top / 'restored', code=5)
    place.mount(store=place.top / 'restored')
    same_tree(place.top / 'tree', place.mnt / 'tree')
    (place.mnt / 'new').write_text('it takes changes')
    inode = os.stat(place.mnt / 'new').st_ino
    assert inode not in {os.lstat(path).st_ino for path in (place.mnt / 'tree').rglob('*')}
    place.umount()
    support.no_damage(place.top / 'restored')
    support.no_damage(copy)


def snapshots_are_made_listed_renamed_and_deleted(place):
    place.mount()
    (place.mnt / 'file').write_text('one')
    sstfs('snapshot', 'create', place.mnt, 'one')
    sstfs('snapshot', 'create', place.mnt, 'one', code=5)
    sstfs('snapshot', 'create', place.mnt, 'no/slash', code=2)
    sstfs('snapshot', 'create', place.mnt, 'latest', code=2)
    named = sstfs('snapshot', 'create', place.mnt).stdout.strip()
    for tag in 'one', named:  # a tag is listed when it is complete
        (place.mnt / '.snapshots' / tag / 'SHA256SUMS').read_bytes()
    listed = sstfs('snapshot', 'list', place.mnt).stdout
    assert 'one' in listed and named in listed, listed
    assert sorted(set(os.listdir(place.mnt / '.snapshots')) - {'latest'}) == sorted(['one', named])
    assert '.snapshots' not in os.listdir(place.mnt)
    sstfs('snapshot', 'rename', place.mnt, 'one', 'first')
    raises(2, os.stat, place.mnt / '.snapshots' / 'one')
    os.stat(place.mnt / '.snapshots' / 'first' / 'snapshot.json')
    done = sstfs('snapshot', 'delete', place.mnt, 'none', 'first', code=3)
    assert 'none' in done.stderr
    (place.mnt / '.snapshots' / named).rmdir()
    assert set(os.listdir(place.mnt / '.snapshots')) <= {'latest'}


def facts_of(tag):
    """All that a program can take a change by."""
    facts = {}
    for path in tag.rglob('*'):
        one = path.stat()
        facts[path.relative_to(tag)] = (one.st_mode, one.st_uid, one.st_gid, one.st_size, one.st_mtime_ns, one.st_ctime_ns,
                                        one.st_ino)
    return facts


def what_is_seen_of_a_tag_never_changes(place):
    place.mount()
    for i in range(4):
        (place.mnt / f'file{i}').write_bytes(os.urandom(100000))
        sstfs('flush', place.mnt)
    top = place.mnt / '.snapshots'
    one = place.snapshot('one')
    wanted = facts_of(one)
    point = json.loads((one / 'snapshot.json').read_text())['point_us']
    for folder, mode in (top, 0o750), (one, 0o550):
        status = folder.stat()
        assert (status.st_mode & 0o7777, status.st_uid) == (mode, os.geteuid()), oct(status.st_mode)
    files = {path: facts for path, facts in wanted.items() if (one / path).is_file()}
    assert len(files) > 30 and {facts[0] for facts in files.values()} == {0o100440}
    for i in range(3):
        (place.mnt / f'file{i}').write_bytes(os.urandom(100000))
        assert one.stat().st_mtime_ns == point * 1000
        two = place.snapshot('two')
        shared = {path: facts for path, facts in facts_of(two).items() if path.name.startswith('nb-') and path in wanted}
        assert all(wanted[path] == facts for path, facts in shared.items())
        assert shared or i > 0, 'nothing is the same, so nothing is seen'
        assert facts_of(one) == wanted
        two.rmdir()
        sstfs('flush', place.mnt)
        sstfs('compact', place.mnt)
        assert facts_of(one) == wanted
        if i == 1:
            os.rename(one, top / 'uno')
            one = top / 'uno'
            assert facts_of(one) == wanted
        place.remount()
    assert facts_of(one) == wanted
    # And no other file of the mount has one of its numbers, be it in the past.
    numbers = [facts[-1] for facts in wanted.values()]
    others = [path.stat().st_ino for path in [*place.mnt.iterdir(), *(place.mnt / '.past' / 'uno').iterdir()]]
    assert len(set(numbers + others)) == len(numbers) + 8, (numbers, others)


def each_backup_moves_only_what_is_new(place):
    place.mount()
    (place.mnt / 'big').write_bytes(os.urandom(20 << 20))
    copy = place.top / 'copy'
    backup(place.snapshot('one'), copy)
    next_second()
    (place.mnt / 'small').write_text('a few bytes')
    done = run('rsync', '-a', '--delete', '--stats', f"{place.snapshot('two')}/", f'{copy}/')
    line = next(line for line in done.stdout.splitlines() if 'transferred file size' in line)
    moved = int(''.join(filter(str.isdigit, line)))
    if moved > 1 << 20:
        raise Failed(f'{moved} bytes moved for a small change')
    support.no_damage(copy)


def tags_survive_kill_and_remount(place):
    make_tree(place.top / 'tree')
    place.mount()
    run('cp', '-a', place.top / 'tree', place.mnt / 'tree')
    (place.mnt / '.snapshots' / 'cut').mkdir()
    place.kill()
    place.mount()
    folder = place.mnt / '.snapshots' / 'cut'
    (folder / 'SHA256SUMS').read_bytes()
    copy = backup(folder, place.top / 'copy')
    other = place.top / 'other'
    other.mkdir()
    place.mount('ro', store=copy, mnt=other)
    same_tree_but_times(place.top / 'tree', other / 'tree')
    place.umount(other)


def snapshot_folders_take_no_change(place):
    place.mount()
    (place.mnt / 'file').write_bytes(b'x' * 100000)
    folder = place.snapshot('one')
    data = next(folder.rglob('*-Data.db'))
    for call in [lambda: data.unlink(), lambda: data.open('r+b'), lambda: data.chmod(0o777),
                 lambda: (folder / 'new').write_text('x'), lambda: os.truncate(data, 0)]:
        try:
            call()
        except OSError as error:
            assert error.errno in (1, 13, 30), error
        else:
            raise Failed('a snapshot was changed')
    raises(17, (place.mnt / '.snapshots').mkdir)


def damage_in_a_copy_is_found(place):
    place.mount()
    for i in range(200):
        (place.mnt / f'file{i}').write_bytes(os.urandom(3000))
    copy = backup(place.snapshot('one'), place.top / 'copy')
    (copy / 'sstfs' / 'notes.txt').write_text('a stranger beside the tables')
    victims = [path for path in copy.rglob('*') if path.is_file() and 'nb-' in path.name]
    assert victims
    for path in victims:
        content = path.read_bytes()
        changed = bytearray(content)
        changed[len(content) // 2] ^= 0x10
        path.chmod(0o600)
        path.write_bytes(changed)
        done = sstfs('verify', copy, code=None)
        if done.returncode != 1 or 'damage' not in done.stdout + done.stderr and path.name not in done.stderr:
            raise Failed(f'a flipped bit in {path.name}: exit code {done.returncode}\n'
                         f'{done.stdout}{done.stderr}')
        path.write_bytes(content)
    missing = victims[0]
    missing.rename(place.top / 'aside')
    assert sstfs('verify', copy, code=None).returncode != 0
    (place.top / 'aside').rename(missing)
    support.no_damage(copy)


def strangers_are_listed_and_ignored(place):
    place.mount()
    (place.mnt / 'file').write_text('kept')
    sstfs('flush', place.mnt)
    (place.mnt / 'zombie').write_text('deleted before the second')
    copy = backup(place.snapshot('one'), place.top / 'copy')
    (place.mnt / 'zombie').unlink()
    sstfs('compact', place.mnt)
    next_second()
    # Without --delete the first backup's files stay.
    run('rsync', '-a', f"{place.snapshot('two')}/", f'{copy}/')
    done = sstfs('verify', copy)
    assert 'stranger:' in done.stdout and 'no damage' in done.stdout, done.stdout
    place.umount()
    place.mount('ro', store=copy)
    assert os.listdir(place.mnt) == ['file']


def the_root_lists_snapshots_when_it_is_told_to(place):
    place.mount('snapdir=visible')
    (place.mnt / 'folder').mkdir()
    names = [f'{i:04}' for i in range(3000)]  # many readings long
    for name in names:
        (place.mnt / name).touch()
    place.snapshot('one')
    wanted = sorted(['.snapshots', 'folder', *names])
    assert sorted(os.listdir(place.mnt)) == wanted
    place.remount('snapdir=visible')
    for _ in range(2):  # with attributes and without
        with os.scandir(place.mnt) as entries:
            listed = {entry.name: (entry.is_dir(follow_symlinks=False), entry.inode()) for entry in entries}
        assert sorted(listed) == wanted
        assert listed['.snapshots'] == (True, (place.mnt / '.snapshots').stat().st_ino)
    assert place.mnt.stat().st_nlink == 2 + 2
    assert os.listdir(place.mnt / 'folder') == [] and (place.mnt / 'folder').stat().st_nlink == 2
    # A snapshot has none in it, and it is no change.
    assert sorted(os.listdir(place.mnt / '.past' / 'one')) == wanted[1:]
    assert sstfs('diff', place.mnt, 'one').stdout == ''
    assert 'snapdir=visible' in (place.mnt / '.sstfs' / 'config').read_text().split('\n')
    place.remount('snapdir=visible,snapdir=hidden')
    assert sorted(os.listdir(place.mnt)) == wanted[1:] and place.mnt.stat().st_nlink == 2 + 1
    place.umount()
    support.no_damage(place.store)
    for value in 'on', '':
        assert 'want hidden or visible' in place.mount(f'snapdir={value}', code=2).stderr


def a_group_may_be_let_in_to_snapshots(place):
    place.top.chmod(0o755)
    place.mount('snapgid=4321')
    (place.mnt / 'secret').write_text('x')
    (place.mnt / 'secret').chmod(0o600)
    one, top = place.snapshot('one'), place.mnt / '.snapshots'
    paths = [top, top / 'latest', *one.rglob('*')]
    assert len(paths) > 30
    for path in paths:
        assert (path.stat().st_uid, path.stat().st_gid) == (os.geteuid(), 4321), path
    assert [path for path in (place.mnt, place.mnt / '.past', place.mnt / '.past' / 'one', place.mnt / '.sstfs')
            if path.stat().st_gid != os.getegid()] == []

    def member():
        assert sorted(os.listdir(top)) == ['latest', 'one']
        run('sha256sum', '--quiet', '-c', 'SHA256SUMS', cwd=one)
        raises(13, (top / 'two').mkdir)
        raises(13, one.rmdir)
        raises(13, os.setxattr, one, 'user.sstfs.hold', b'mine')
        raises(13, (place.mnt / '.past' / 'one' / 'secret').read_bytes)  # the file's own mode

    support.as_user(4321, member)
    support.as_user(1234, lambda: raises(13, os.listdir, top))
    assert 'snapgid=4321' in (place.mnt / '.sstfs' / 'config').read_text().split('\n')
    group = grp.getgrall()[-1]
    place.remount(f'snapgid={group.gr_name}')
    assert {path.stat().st_gid for path in paths} == {group.gr_gid}
    place.remount()
    assert {path.stat().st_gid for path in paths} == {os.getegid()}
    place.umount()
    for value in 'no such group', '-1', '1x', '4294967295', '18446744073709551617', '':
        assert 'want a group' in place.mount(f'snapgid={value}', code=2).stderr


def dump_reads_what_is_there(place):
    place.mount()
    (place.mnt / 'file').write_text('x')
    folder = place.snapshot('one')
    tables = json.loads(sstfs('dump', '--table', 'dirents', folder).stdout)
    assert {table['table'] for table in tables} == {'dirents'}
    rows = [row for table in tables for partition in table['partitions']
            for row in partition.get('rows', []) if row['type'] == 'row']
    assert b'file'.hex() in json.dumps(rows)
    one = next(folder.glob('sstfs/dirents-*/*-Data.db'))
    assert json.loads(sstfs('dump', one).stdout) == tables[0]['partitions']
    sstfs('dump', place.top / 'none', code=4)


if __name__ == '__main__':
    sys.exit(support.main([
        a_copy_of_a_snapshot_mounts_and_holds_the_point,
        a_store_is_made_from_a_copy,
        snapshots_are_made_listed_renamed_and_deleted,
        what_is_seen_of_a_tag_never_changes,
        each_backup_moves_only_what_is_new,
        tags_survive_kill_and_remount,
        snapshot_folders_take_no_change,
        damage_in_a_copy_is_found,
        strangers_are_listed_and_ignored,
        the_root_lists_snapshots_when_it_is_told_to,
        a_group_may_be_let_in_to_snapshots,
        dump_reads_what_is_there,
    ]))
