#!/usr/bin/env python3
"""Goal: DIR/.past/TAG is DIR as it was at that point, with everything a tree has, for programs that
only read; and it is never in the way.
Method: trees kept aside, compared with the past of several tags after much has changed; errors by
number; removal and renaming of tags while they are looked at.
"""
import errno
import os
import subprocess
import sys

import support
from support import raises, run, same_tree, sstfs, wait_until
from test_round_trip import make_tree


def past(directory, tag):
    return directory / '.past' / tag


def is_removed(tag):
    """The kernel tells of closed files a little later."""
    try:
        tag.rmdir()
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True


def the_past_is_the_tree_as_it_was(place):
    make_tree(place.top / 'one')
    place.mount()
    run('cp', '-a', place.top / 'one', place.mnt / 'tree')
    os.setxattr(place.mnt / 'tree', 'user.when', b'one')
    os.setxattr(place.top / 'one', 'user.when', b'one')
    place.snapshot('one')
    for path in sorted(place.mnt.glob('tree/**/*')):
        if path.is_file() and not path.is_symlink():
            with open(path, 'ab') as file:
                file.write(b'changed')
    os.setxattr(place.mnt / 'tree', 'user.when', b'two')
    (place.mnt / 'tree' / 'new').mkdir()
    run('rsync', '-aHAX', f'{place.mnt}/tree/', f"{place.top}/two/")
    place.snapshot('two')
    run('rm', '-rf', place.mnt / 'tree')
    sstfs('flush', place.mnt)
    sstfs('compact', place.mnt)
    for _ in range(2):  # while the tags' SSTables are in memory, and after a remount
        same_tree(place.top / 'one', past(place.mnt, 'one') / 'tree')
        same_tree(place.top / 'two', past(place.mnt, 'two') / 'tree')
        run('diff', '-r', '--no-dereference', '-x', 'fifo', '-x', 'null', place.top / 'one', past(place.mnt, 'one') / 'tree')
        place.remount()
    run('cp', '-a', past(place.mnt, 'one') / 'tree', place.mnt / 'back')
    same_tree(place.top / 'one', place.mnt / 'back')
    run('grep', '-rq', 'changed', past(place.mnt, 'two'))
    run('grep', '-rq', 'changed', past(place.mnt, 'one'), code=1)


def each_directory_has_its_own(place):
    place.mount()
    deep = place.mnt / 'a' / 'b'
    deep.mkdir(parents=True)
    (deep / 'file').write_text('one')
    place.snapshot('one')
    (deep / 'file').write_text('two, longer')
    (place.mnt / 'young').mkdir()
    place.snapshot('two')
    deep.rename(place.mnt / 'moved')  # the past goes with the directory
    moved = place.mnt / 'moved'
    assert (past(moved, 'one') / 'file').read_text() == 'one'
    assert (past(moved, 'two') / 'file').read_text() == 'two, longer'
    assert (past(place.mnt, 'one') / 'a' / 'b' / 'file').read_text() == 'one'
    assert sorted(os.listdir(moved / '.past')) == ['one', 'two']
    assert os.listdir(place.mnt / 'young' / '.past') == ['two']
    raises(2, os.stat, past(place.mnt / 'young', 'one'))
    (place.mnt / 'young').rmdir()  # what is cached of its past is not in the way
    assert os.listdir(past(place.mnt, 'two') / 'young') == []
    raises(2, os.stat, past(place.mnt, 'none'))
    raises(2, os.stat, past(place.mnt, 'one') / '.past')
    raises(2, os.stat, past(place.mnt, 'one') / '.snapshots')
    # One file, one number, whichever way it is reached; another one than the live file's.
    ways = [past(moved, 'one') / 'file', past(place.mnt, 'one') / 'a' / 'b' / 'file']
    numbers = {path.stat().st_ino for path in ways}
    assert len(numbers) == 1
    others = {(past(moved, 'two') / 'file').stat().st_ino, (moved / 'file').stat().st_ino}
    assert len(numbers | others) == 3
    assert {entry.name: entry.inode() for entry in os.scandir(past(moved, 'one'))} == \
        {'file': numbers.pop()}


def nothing_there_can_be_changed(place):
    place.mount()
    (place.mnt / 'd').mkdir()
    (place.mnt / 'd' / 'file').write_bytes(b'x' * 10000)
    place.snapshot('one')
    old = past(place.mnt / 'd', 'one')
    for call in [lambda: (old / 'file').open('r+b'), lambda: os.truncate(old / 'file', 0),
                 lambda: (old / 'file').unlink(), lambda: (old / 'new').write_text('x'),
                 lambda: (old / 'new').mkdir(), lambda: (old / 'file').chmod(0o600),
                 lambda: os.rename(old / 'file', old / 'other'), old.rmdir,
                 lambda: os.symlink('x', old / 'link'),
                 lambda: os.setxattr(old / 'file', 'user.a', b'b'),
                 lambda: os.utime(old / 'file'), lambda: old.rename(old.parent / 'two'),
                 lambda: (old.parent / 'two').mkdir()]:
        raises(30, call)
    raises(18, os.link, old / 'file', place.mnt / 'file')
    raises(17, (place.mnt / 'd' / '.past').mkdir)
    assert (old / 'file').read_bytes() == b'x' * 10000


def modes_and_owners_are_those_of_then(place):
    if os.geteuid() != 0:
        return
    place.top.chmod(0o755)
    place.mount('allow_other')
    secret = place.mnt / 'secret'
    secret.write_text('s')
    secret.chmod(0o600)
    os.chown(secret, 4321, 4321)
    place.snapshot('one')
    secret.chmod(0o644)
    os.chown(secret, 0, 0)
    old = past(place.mnt, 'one') / 'secret'
    assert (old.stat().st_mode & 0o777, old.stat().st_uid) == (0o600, 4321)
    support.as_user(4321, old.read_text)
    support.as_user(1234, lambda: raises(13, old.read_text))
    support.as_user(1234, lambda: raises(13, os.listdir, place.mnt / '.snapshots'))


def a_tag_in_use_stays_and_another_goes(place):
    place.mount()
    (place.mnt / 'file').write_text('old')
    for tag in 'one', 'two':
        place.snapshot(tag)
    with open(past(place.mnt, 'one') / 'file', encoding='ascii') as file:
        raises(16, (place.mnt / '.snapshots' / 'one').rmdir)
        raises(16, os.rename, place.mnt / '.snapshots' / 'one', place.mnt / '.snapshots' / 'uno')
        assert file.read() == 'old'
    assert (past(place.mnt, 'two') / 'file').read_text() == 'old'
    os.rename(place.mnt / '.snapshots' / 'two', place.mnt / '.snapshots' / 'due')
    wait_until(lambda: is_removed(place.mnt / '.snapshots' / 'one'), 'the removal')
    assert os.listdir(place.mnt / '.past') == ['due']
    assert (past(place.mnt, 'due') / 'file').read_text() == 'old'
    wait_until(lambda: not past(place.mnt, 'one').exists(), 'the kernel to look again')
    directory = os.open(past(place.mnt, 'due'), os.O_RDONLY)
    raises(16, (place.mnt / '.snapshots' / 'due').rmdir)
    os.close(directory)
    wait_until(lambda: is_removed(place.mnt / '.snapshots' / 'due'), 'the removal')
    place.snapshot('due')  # a tag made anew is another one
    (place.mnt / 'file').write_text('new')
    assert (past(place.mnt, 'due') / 'file').read_text() == 'old'


def tags_come_and_go_under_those_who_look(place):
    place.mount()
    for i in range(40):
        (place.mnt / f'file{i}').write_bytes(b'%d' % i * 5000)
    walk = 'while :; do grep -rc x "$1"/.past/a "$1"/.past/b "$1"/.past/c; ls -lR "$1"/.past; done'
    walkers = [subprocess.Popen(['sh', '-c', walk, 'sh', place.mnt], stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL, process_group=0) for _ in range(3)]
    removed = 0
    try:
        for i in range(25):
            for tag in 'a', 'b', 'c':
                folder = place.mnt / '.snapshots' / tag
                if folder.exists():
                    removed += run('rmdir', folder, code=None).returncode == 0
                sstfs('snapshot', 'create', place.mnt, tag, code=None)
            sstfs('snapshot', 'rename', place.mnt, 'a', f'renamed{i}', code=None)
            (place.mnt / f'file{i % 40}').write_bytes(b'%d' % i * 6000)
            if i % 10 == 0:
                sstfs('compact', place.mnt)
    finally:
        for walker in walkers:
            os.killpg(walker.pid, 9)
            walker.wait()
    assert removed > 0
    (place.mnt / 'file0').write_text('last')
    sstfs('snapshot', 'create', place.mnt, 'last')
    (place.mnt / '.snapshots' / 'last' / 'SHA256SUMS').read_bytes()
    assert (past(place.mnt, 'last') / 'file0').read_text() == 'last'
    assert place.stats()['bad_reads'] == 0
    place.umount()
    support.no_damage(place.store)


def a_tag_just_made_has_its_past(place):
    place.mount()
    folder = place.mnt / 'folder'
    folder.mkdir()
    for i in range(8):
        tag = f'tag{i}'
        (folder / f'{i}').write_text(tag)
        (place.mnt / '.snapshots' / tag).mkdir()
        assert sorted(os.listdir(past(folder, tag))) == [f'{n}' for n in range(i + 1)]
        assert (past(folder, tag) / f'{i}').read_text() == tag
        raises(errno.ENOENT, os.listdir, past(folder, 'none'))


if __name__ == '__main__':
    sys.exit(support.main([
        the_past_is_the_tree_as_it_was,
        each_directory_has_its_own,
        nothing_there_can_be_changed,
        modes_and_owners_are_those_of_then,
        a_tag_in_use_stays_and_another_goes,
        tags_come_and_go_under_those_who_look,
        a_tag_just_made_has_its_past,
    ]))
