#!/usr/bin/env python3
"""Goal: who may do what is what the local disk says, for root and others, with groups and ACLs.

Method: random calls of five users in a folder of a mount and in one of the disk below, as in random_names.py: each must succeed
or fail alike, with the same errno; modes (what sticky and set-id bits do, umasks, default ACLs), owners and attributes are
compared now and then.

usage: random_users.py [OPERATIONS [SEED]]    SSTFS names the binary. A failure says its seed and the last calls.
"""
import os
import random
import stat
import struct
import sys
from collections import deque

import random_names
import support
from support import Failed, link_descriptor, renameat2

# uid, gid, further groups
USERS = [(0, 0, [0]), (1001, 1001, [2001, 2002]), (1002, 1002, [2002]), (1003, 1001, []), (1004, 1004, [1001, 2001])]
OWNERS = [0, 1001, 1002, 1003, 1004, -1]
GROUPS = [0, 1001, 1002, 1004, 2001, 2002, 3000]
MODES = [0o7777, 0o777, 0o755, 0o1777, 0o2775, 0o6755, 0o700, 0o070, 0o007, 0o2770, 0o664, 0o640, 0o604, 0o444, 0o222, 0o111]
ACCESS, DEFAULT = 'system.posix_acl_access', 'system.posix_acl_default'
ATTRIBUTES = ['user.x', 'user.y', 'trusted.x', 'security.x', 'other.x', 'system.posix_acl_other']
ACL_USER_OBJ, ACL_USER, ACL_GROUP_OBJ, ACL_GROUP, ACL_MASK, ACL_OTHER = 1, 2, 4, 8, 16, 32
NOBODY = 0xffffffff


class Users(random_names.Pair):
    """The same call on both sides, made by `user`."""
    user = USERS[0]

    @staticmethod
    def become(uid, gid, groups):
        os.seteuid(0)
        os.setgroups(groups)
        os.setegid(gid)
        os.seteuid(uid)

    def both(self, call):
        self.become(*self.user)
        try:
            return super().both(call)
        finally:
            self.become(*USERS[0])

    def facts(self, status):
        """A set-group-id bit without the group's execute bit means nothing, and the disk drops it in some cases more."""
        facts = list(super().facts(status))
        if stat.S_ISREG(status.st_mode) and not status.st_mode & stat.S_IXGRP:
            facts[0] = oct(status.st_mode & ~stat.S_ISGID)
        return tuple(facts)

    def path(self, depth_max=3):
        names = [self.chance.choice('abcd') for _ in range(self.chance.choice([1, 1, 2, 2, depth_max]))]
        return '/'.join(names) + ('/' if self.chance.random() < 0.04 else '')

    def mode(self):
        return self.chance.choice([*MODES, self.chance.randrange(0o10000)])

    def some(self, *flags):
        """One of the first three, and each of the others or not."""
        chosen = self.chance.choice(flags[:3])
        for flag in flags[3:]:
            chosen |= self.chance.choice([0, 0, flag])
        return chosen

    def acl(self):
        """As the kernel has them; one in ten is none."""
        def entries(tag, ids):
            return [(tag, self.chance.randrange(8), i) for i in sorted(self.chance.sample(ids, self.chance.randrange(3)))]
        users, groups = entries(ACL_USER, OWNERS[1:5]), entries(ACL_GROUP, GROUPS[1:])
        found = [*entries_of(ACL_USER_OBJ, self.chance), *users, *entries_of(ACL_GROUP_OBJ, self.chance), *groups]
        if users or groups:
            found += entries_of(ACL_MASK, self.chance)
        found += entries_of(ACL_OTHER, self.chance)
        if self.chance.random() < 0.1:
            found.pop()
        return found

    def opened(self, path, flags, mode=0o666, data=b''):
        def call(root):
            fd = os.open(f'{root}/{path}', flags | os.O_NONBLOCK, mode)
            try:
                if data and stat.S_ISREG(os.fstat(fd).st_mode):
                    os.write(fd, data)
                return self.facts(os.fstat(fd))
            finally:
                os.close(fd)
        return (path, oct(flags), oct(mode)), self.both(call)

    def do_open(self):
        return self.opened(self.path(), self.some(os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_TRUNC, os.O_NOFOLLOW, os.O_DIRECTORY,
                                                  os.O_NOATIME, os.O_APPEND, os.O_PATH))

    def do_create(self):
        return self.opened(self.path(), self.some(os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_EXCL, os.O_TRUNC) | os.O_CREAT, self.mode())

    def do_write(self):
        return self.opened(self.path(), self.some(os.O_WRONLY, os.O_RDWR, os.O_RDWR, os.O_TRUNC), data=b'x' * self.chance.choice([1, 9000]))

    def do_tmpfile(self):
        path, name, mode = self.path(), self.path(), self.mode()

        def call(root):
            fd = os.open(f'{root}/{path}', os.O_TMPFILE | os.O_RDWR, mode)
            try:
                link_descriptor(fd, f'{root}/{name}')
                return self.facts(os.fstat(fd))
            finally:
                os.close(fd)
        return (path, name, oct(mode)), self.both(call)

    def do_mkdir(self):
        path, mode = self.path(), self.mode()
        return (path, oct(mode)), self.both(lambda root: os.mkdir(f'{root}/{path}', mode))

    def do_mknod(self):
        path, kind, mode = self.path(), self.chance.choice([stat.S_IFIFO, stat.S_IFREG, stat.S_IFCHR, 0, stat.S_IFDIR]), self.mode()
        return (path, oct(kind | mode)), self.both(lambda root: os.mknod(f'{root}/{path}', kind | mode, os.makedev(1, 3)))

    def do_symlink(self):
        # None leads out of the folder, where the sides differ.
        path, target = self.path(), self.chance.choice(['a', 'b/', '.', '', 'c/d', 'nowhere', './b'])
        return (path, target), self.both(lambda root: os.symlink(target, f'{root}/{path}'))

    def do_link(self):
        a, b, follow = self.path(), self.path(), self.chance.random() < 0.5
        return (a, b, follow), self.both(lambda root: os.link(f'{root}/{a}', f'{root}/{b}', follow_symlinks=follow))

    def do_unlink(self):
        path = self.path()
        return path, self.both(lambda root: os.unlink(f'{root}/{path}'))

    def do_rmdir(self):
        path = self.path() + self.chance.choice(['', '', '', '/.'])
        return path, self.both(lambda root: os.rmdir(f'{root}/{path}'))

    def do_rename(self):
        a, b, flags = self.path(), self.path(), self.chance.choice([0, 0, 0, random_names.NOREPLACE, random_names.EXCHANGE])
        return (a, b, flags), self.both(lambda root: renameat2(f'{root}/{a}', f'{root}/{b}', flags))

    def do_chmod(self):
        path, mode = self.path(), self.mode()
        return (path, oct(mode)), self.both(lambda root: os.chmod(f'{root}/{path}', mode))

    def do_chown(self):
        path, uid, gid, follow = self.path(), self.chance.choice(OWNERS), self.chance.choice(GROUPS), self.chance.random() < 0.5
        return (path, uid, gid), self.both(lambda root: os.chown(f'{root}/{path}', uid, gid, follow_symlinks=follow))

    def do_times(self):
        path, times = self.path(), self.chance.choice([None, (10**18, 10**18 + 1)])
        return (path, times), self.both(lambda root: os.utime(f'{root}/{path}', **({'ns': times} if times else {})))

    def do_truncate(self):
        path, size = self.path(), self.chance.choice([0, 5, 9000, -1])
        return (path, size), self.both(lambda root: os.truncate(f'{root}/{path}', size))

    def do_access(self):
        path, wanted = self.path(), self.chance.choice([os.R_OK, os.W_OK, os.X_OK, 6, 7])
        return (path, wanted), self.both(lambda root: os.access(f'{root}/{path}', wanted, effective_ids=True))

    def do_set_acl(self):
        path, name, entries = self.path(), self.chance.choice([ACCESS, DEFAULT]), self.acl()
        value = struct.pack('<I', 2) + b''.join(struct.pack('<HHI', *entry) for entry in entries)
        return (path, name, entries), self.both(lambda root: os.setxattr(f'{root}/{path}', name, value))

    def do_remove_acl(self):
        path, name = self.path(), self.chance.choice([ACCESS, DEFAULT])
        return (path, name), self.both(lambda root: os.removexattr(f'{root}/{path}', name))

    def do_get_acl(self):
        path, name = self.path(), self.chance.choice([ACCESS, DEFAULT])
        return (path, name), self.both(lambda root: os.getxattr(f'{root}/{path}', name))

    def do_setxattr(self):
        path, name, follow = self.path(), self.chance.choice(ATTRIBUTES), self.chance.random() < 0.5
        value, flags = b'v' * self.chance.choice([0, 1, 200]), self.chance.choice([0, os.XATTR_CREATE, os.XATTR_REPLACE])
        return (path, name, flags), self.both(lambda root: os.setxattr(f'{root}/{path}', name, value, flags, follow_symlinks=follow))

    def do_removexattr(self):
        path, name, follow = self.path(), self.chance.choice(ATTRIBUTES[:4]), self.chance.random() < 0.5
        return (path, name), self.both(lambda root: os.removexattr(f'{root}/{path}', name, follow_symlinks=follow))

    def do_getxattr(self):
        path, name, follow = self.path(), self.chance.choice(ATTRIBUTES[:4]), self.chance.random() < 0.5
        return (path, name), self.both(lambda root: os.getxattr(f'{root}/{path}', name, follow_symlinks=follow))

    def do_listxattr(self):
        path = self.path()
        return path, self.both(lambda root: sorted(os.listxattr(f'{root}/{path}')))

    def do_list(self):
        path = self.path()
        return path, self.both(lambda root: sorted(os.listdir(f'{root}/{path}')))

    def do_stat(self):
        path = self.path()
        return path, self.both(lambda root: self.facts(os.stat(f'{root}/{path}')))

    def do_umask(self):
        mask = self.chance.choice([0, 0o22, 0o77, 0o27])
        os.umask(mask)
        return oct(mask)


def entries_of(tag, chance):
    return [(tag, chance.randrange(8), NOBODY)]


WEIGHTS = {'open': 14, 'create': 16, 'write': 8, 'tmpfile': 5, 'mkdir': 14, 'mknod': 5, 'symlink': 5, 'link': 8, 'unlink': 5, 'rmdir': 4,
           'rename': 14, 'chmod': 10, 'chown': 10, 'times': 5, 'truncate': 6, 'access': 8, 'set_acl': 10, 'remove_acl': 4, 'get_acl': 4,
           'setxattr': 8, 'removexattr': 3, 'getxattr': 4, 'listxattr': 3, 'list': 4, 'stat': 6, 'umask': 2}


def users_may_what_they_may_on_the_disk(place, operations, seed):
    if os.geteuid() != 0:
        return
    chance = random.Random(seed)
    os.umask(0)
    place.mount('dev', 'suid')
    place.top.chmod(0o755)
    roots = [place.top / 'disk', place.mnt / 'ours']
    for root in roots:
        root.mkdir(0o777)
    pair = Users(roots, chance)
    names, weights = list(WEIGHTS), list(WEIGHTS.values())
    recent = deque(maxlen=10)
    try:
        for number in range(operations):
            pair.user = chance.choice([USERS[0], *USERS[1:], *USERS[1:3]])
            name = chance.choices(names, weights)[0]
            recent.append(name)
            what = getattr(pair, f'do_{name}')()
            recent[-1] = f'{number}: {pair.user[0]} {name} {str(what)[:200]}'
            if number % 500 == 499:
                pair.compare()
            if number % 3000 == 2999:
                place.remount('dev', 'suid')
        pair.compare()
    except Exception as error:
        raise Failed(f'seed {seed}: {type(error).__name__}: {error}; the last calls: {"; ".join(recent)}') from error
    place.umount()
    support.no_damage(place.store)


if __name__ == '__main__':
    sys.exit(support.main_of_seeds(users_may_what_they_may_on_the_disk, 20000, [1, 2, random.randrange(1 << 32)]))
