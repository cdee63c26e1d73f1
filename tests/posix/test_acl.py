#!/usr/bin/env python3
"""Goal: access control lists work as on the local disk: setfacl, inheritance, chmod, umask, and access itself.

Method: the same commands in a folder of the mount and in one of the disk below; getfacl must say the same of both trees.
"""
import os
import sys

import support
from support import Failed, raises, run

SCRIPT = r"""
set -eu
umask 027
mkdir plain with; touch plain/file
setfacl -m u:1000:rw,g:1001:r plain/file
setfacl -d -m u:1000:rwx,g::rx,o::- with
setfacl -d -m m:rx with
touch with/file; mkdir with/child; mkdir -m 700 with/narrow; mkfifo with/fifo; ln -s file with/link
touch with/child/deep; install -m 600 /dev/null with/child/installed
mkdir minimal; setfacl -d -m u::rwx,g::rx,o::- minimal; touch minimal/file; mkdir minimal/child
touch chmod; setfacl -m u:1000:rwx chmod; chmod 640 chmod
touch lost; setfacl -m u:1000:rwx lost; setfacl -b lost
touch masked; setfacl -m u:1000:rwx,m::r masked; chmod g+w masked
cp -a with copied; cp --preserve=all plain/file copied-file
touch base; setfacl --set u::rw,g::r,o::- base
mv with moved; ln moved/file linked; setfacl -m u:7:x linked
setfacl -x u:1000 chmod; setfacl -k copied
"""


ACL = 'system.posix_acl_access'


def name_files_without_one(tree):
    """A file of O_TMPFILE in each folder has what its folder hands down, before it has a name and after."""
    for folder in 'plain', 'moved', 'minimal':
        fd = os.open(tree / folder, os.O_TMPFILE | os.O_RDWR, 0o666)
        before = os.getxattr(fd, ACL) if ACL in os.listxattr(fd) else None
        name = tree / folder / 'named'
        support.link_descriptor(fd, name)
        os.close(fd)
        assert before == (os.getxattr(name, ACL) if ACL in os.listxattr(name) else None)


def lists_of(tree):
    """What getfacl says of each file of it, in the order of names."""
    names = sorted(os.path.relpath(os.path.join(folder, name), tree) for folder, folders, files in os.walk(tree)
                   for name in folders + files)
    return run('getfacl', '-n', '--', *names, cwd=tree).stdout


def commands_leave_the_same_lists_as_on_the_disk(place):
    place.mount()
    trees = [place.top / 'disk', place.mnt / 'ours']
    for tree in trees:
        tree.mkdir()
        run('bash', '-c', SCRIPT, cwd=tree)
        name_files_without_one(tree)
    want, got = (lists_of(tree) for tree in trees)
    if want != got:
        raise Failed(f'getfacl differs:\n--- disk\n{want}\n--- mount\n{got}')
    place.remount()
    assert lists_of(trees[1]) == want


def tools_carry_lists_over(place):
    place.mount()
    disk, ours, back = place.top / 'disk', place.mnt / 'ours', place.top / 'back'
    for tree in disk, ours, back:
        tree.mkdir()
    run('bash', '-c', SCRIPT, cwd=disk)
    run('rsync', '-aHAX', f'{disk}/', f'{ours}/')
    run('rsync', '-aHAX', f'{ours}/', f'{back}/')
    (ours / 'tarred').mkdir()
    run('bash', '-c', 'set -o pipefail; tar --acls --xattrs -cf - . | tar --acls --xattrs -xf - -C "$1"', 'tar',
        ours / 'tarred', cwd=disk)
    want = lists_of(disk)
    assert lists_of(back) == want
    assert lists_of(ours / 'tarred') == want


def lists_decide_who_may(place):
    place.mount()
    os.chmod(place.top, 0o755)
    os.chmod(place.mnt, 0o755)
    secret = place.mnt / 'secret'
    secret.write_text('secret')
    secret.chmod(0o600)
    support.as_user(1000, lambda: raises(13, secret.read_text))
    run('setfacl', '-m', 'u:1000:r', secret)
    support.as_user(1000, secret.read_text)
    support.as_user(1001, lambda: raises(13, secret.read_text))
    support.as_user(1000, lambda: raises(13, secret.write_text, 'x'))
    run('setfacl', '-m', 'u:1000:rw,m::r', secret)
    support.as_user(1000, lambda: raises(13, secret.write_text, 'x'))
    secret.chmod(0o660)
    support.as_user(1000, lambda: secret.write_text('x'))
    run('setfacl', '-b', secret)
    support.as_user(1000, lambda: raises(13, secret.read_text))


if __name__ == '__main__':
    sys.exit(support.main([
        commands_leave_the_same_lists_as_on_the_disk,
        tools_carry_lists_over,
        lists_decide_who_may,
    ]))
