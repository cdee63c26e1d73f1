#!/usr/bin/env python3
"""Goal: names, links and attributes are what the local disk makes of the same calls.

Method: random calls, drawn from a seed, made in a folder of a mount and in one of the disk below; each must succeed or fail
alike, with the same errno, and now and then, and after remounts and kills of the daemon, both trees are the same: names, types,
modes, owners, link counts, sizes, contents, targets, attributes, and which names are links of one file.

usage: random_names.py [OPERATIONS [SEED]]    SSTFS names the binary. A failure says its seed and the last calls.
"""
import errno
import os
import random
import stat
import sys
from collections import deque

import support
from support import Failed, renameat2

NOREPLACE, EXCHANGE = 1, 2
NAMES = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'é', ' ', '..x', 'n' * 255]


class Pair:
    """The same call on both sides."""

    def __init__(self, roots, chance):
        self.roots, self.chance = roots, chance
        self.open = []  # pairs of descriptors, of files that may have no name any more

    def path(self, depth_max=4):
        """A path below the roots; the deeper the rarer, existing as often as not."""
        names = [self.chance.choice(NAMES) for _ in range(self.chance.choice([1, 1, 2, 2, 3, depth_max]))]
        return '/'.join(names)

    def neighbour(self):
        """A name beside the link that points to it."""
        return 'a'

    def facts(self, status):
        return facts_of(status)

    def both(self, call):
        """The result on both, or its errno; they must be the same."""
        results = []
        for root in self.roots:
            try:
                results.append(call(root))
            except OSError as error:
                results.append(errno.errorcode[error.errno])
        if results[0] != results[1]:
            raise Failed(f'the disk says {results[0]!r}, the mount {results[1]!r}')
        return results[0]

    def do_create(self):
        path, flags = self.path(), self.chance.choice([0, os.O_EXCL, os.O_TRUNC])
        mode = self.chance.choice([0o600, 0o644, 0o755, 0o4755])
        data = self.chance.randbytes(self.chance.choice([0, 10, 9000]))

        def call(root):
            fd = os.open(root / path, os.O_RDWR | os.O_CREAT | flags, mode)
            os.write(fd, data)
            os.close(fd)
        return path, self.both(call)

    def do_mkdir(self):
        path, mode = self.path(), self.chance.choice([0o755, 0o700, 0o1777, 0o2755])
        return path, self.both(lambda root: os.mkdir(root / path, mode))

    def do_mknod(self):
        path, kind = self.path(), self.chance.choice([stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFREG, stat.S_IFCHR])
        return path, self.both(lambda root: os.mknod(root / path, kind | 0o640, os.makedev(1, 3)))

    def do_symlink(self):
        path, target = self.path(), self.chance.choice([self.path(), 't' * 4000, self.neighbour()])
        return path, self.both(lambda root: os.symlink(target, root / path))

    def do_link(self):
        a, b = self.path(), self.path()
        return (a, b), self.both(lambda root: os.link(root / a, root / b, follow_symlinks=False))

    def do_unlink(self):
        path = self.path()
        return path, self.both(lambda root: os.unlink(root / path))

    def do_rmdir(self):
        path = self.path()
        return path, self.both(lambda root: os.rmdir(root / path))

    def do_rename(self):
        a, b, flags = self.path(), self.path(), self.chance.choice([0, 0, 0, NOREPLACE, EXCHANGE])
        return (a, b, flags), self.both(lambda root: renameat2(root / a, root / b, flags))

    def do_chmod(self):
        path, mode = self.path(), self.chance.choice([0o644, 0o7777, 0o600, 0o2770])
        return path, self.both(lambda root: os.chmod(root / path, mode))

    def do_chown(self):
        path, ids = self.path(), self.chance.choice([(0, 0), (5, 7), (-1, 9), (11, -1)])
        return path, self.both(lambda root: os.chown(root / path, *ids, follow_symlinks=False))

    def do_times(self):
        path, times = self.path(), (self.chance.randrange(-10**17, 4 * 10**18), self.chance.randrange(10**18))
        # The disk below has times up to 2446 and down to 1901 only.
        return path, self.both(lambda root: os.utime(root / path, ns=times, follow_symlinks=False))

    def do_truncate(self):
        path, size = self.path(), self.chance.choice([0, 5, 8192, 8193, 200_000])
        return path, self.both(lambda root: os.truncate(root / path, size))

    def do_setxattr(self):
        path, name, value = self.path(), f'user.{self.chance.choice("xyz")}', self.chance.randbytes(20)
        flags = self.chance.choice([0, 0, os.XATTR_CREATE, os.XATTR_REPLACE])
        return path, self.both(lambda root: os.setxattr(root / path, name, value, flags, follow_symlinks=False))

    def do_removexattr(self):
        path, name = self.path(), f'user.{self.chance.choice("xyz")}'
        return path, self.both(lambda root: os.removexattr(root / path, name, follow_symlinks=False))

    def do_list(self):
        path = self.path(3)
        return path, self.both(lambda root: sorted(os.listdir(root / path)))

    def do_stat(self):
        path = self.path()
        return path, self.both(lambda root: self.facts(os.lstat(root / path)))

    def do_open(self):
        """Keeps the file open, whatever becomes of its name."""
        path = self.path()
        fds = []

        def call(root):
            fds.append(os.open(root / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK))
        result = self.both(call)
        if fds:
            if stat.S_ISREG(os.fstat(fds[0]).st_mode):
                self.open.append(fds)
            else:
                self.close(fds)
        return path, result

    def do_look_at_open(self):
        if not self.open:
            return None
        fds = self.open.pop(self.chance.randrange(len(self.open)))
        seen = [(self.facts(os.fstat(fd)), os.pread(fd, 1 << 20, 0)) for fd in fds]
        self.close(fds)
        if seen[0] != seen[1]:
            raise Failed(f'open file: the disk says {seen[0][0]}, the mount {seen[1][0]}')
        return seen[0][0]

    @staticmethod
    def close(fds):
        for fd in fds:
            try:
                os.close(fd)
            except OSError:  # its daemon was killed
                pass

    def forget_open(self):
        while self.open:
            self.close(self.open.pop())

    def compare(self):
        trees = [tree_of(root, self.facts) for root in self.roots]
        if trees[0] == trees[1]:
            return
        for path in sorted(set(trees[0]) | set(trees[1])):
            a, b = trees[0].get(path), trees[1].get(path)
            if a != b:
                raise Failed(f'{path!r}: the disk has {a}, the mount {b}')


def facts_of(s):
    """What must be the same on both; directories have sizes of their own."""
    size = 0 if stat.S_ISDIR(s.st_mode) else s.st_size
    return oct(s.st_mode), s.st_uid, s.st_gid, s.st_nlink, size, s.st_rdev


def tree_of(root, facts_of):
    """path -> what can be seen of it; links of one file name the first of them."""
    found, first = {}, {}
    for folder, folders, files in os.walk(os.fsencode(root)):
        folders.sort()
        for name in sorted(folders + files):
            path = os.path.join(folder, name)
            relative = os.path.relpath(path, os.fsencode(root))
            s = os.lstat(path)
            facts = [facts_of(s), first.setdefault(s.st_ino, relative)]
            if stat.S_ISREG(s.st_mode):
                with open(path, 'rb') as file:
                    facts.append(hash(file.read()))
            elif stat.S_ISLNK(s.st_mode):
                facts.append(os.readlink(path))
            facts.append(sorted((n, os.getxattr(path, n, follow_symlinks=False))
                                for n in os.listxattr(path, follow_symlinks=False)))
            found[relative] = facts
    return found


WEIGHTS = {'create': 20, 'mkdir': 14, 'mknod': 4, 'symlink': 4, 'link': 8, 'unlink': 8, 'rmdir': 5, 'rename': 16, 'chmod': 3,
           'chown': 3, 'times': 2, 'truncate': 4, 'setxattr': 5, 'removexattr': 3, 'list': 6, 'stat': 8, 'open': 4, 'look_at_open': 4}


def names_are_as_on_the_disk(place, operations, seed):
    chance = random.Random(seed)
    place.mount('dev')
    roots = [place.top / 'disk', place.mnt / 'ours']
    for root in roots:
        root.mkdir()
    pair = Pair(roots, chance)
    names, weights = list(WEIGHTS), list(WEIGHTS.values())
    recent = deque(maxlen=10)
    try:
        for number in range(operations):
            name = chance.choices(names, weights)[0]
            recent.append(name)
            what = getattr(pair, f'do_{name}')()
            recent[-1] = f'{number}: {name} {str(what)[:150]}'
            if number % 1000 == 999:
                pair.compare()
            if number % 5000 == 4999:
                pair.forget_open()
                if chance.random() < 0.5:
                    place.kill()
                else:
                    place.umount()
                place.mount('dev')
                pair.compare()
            if number % 3000 == 2999:
                support.sstfs(chance.choice(['flush', 'compact']), place.mnt)
        pair.compare()
    except Exception as error:
        raise Failed(f'seed {seed}: {type(error).__name__}: {error}; the last calls: {"; ".join(recent)}') from error
    finally:
        pair.forget_open()
    place.umount()
    support.no_damage(place.store)


if __name__ == '__main__':
    os.umask(0)
    sys.exit(support.main_of_seeds(names_are_as_on_the_disk, 20000, [1, 4096840947, random.randrange(1 << 32)]))
