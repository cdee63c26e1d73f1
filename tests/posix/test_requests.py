#!/usr/bin/env python3
"""Goal: the kernel asks the daemon no more than it must.
Method: known calls, and the counts of requests by kind before and after them.

What Linux 6.18 asks in any case, whatever a daemon answers, is named where it counts: the attributes of a
directory after each change in it (fuse_dir_changed() drops them all, and the next check of access
needs the mode), the name that a file is renamed to or exclusively made under, security.capability
before the first write to a file, the page in which a file ends.
"""
import json
import os
import sys

import support


class Counted:
    """With it as context, `requests` is what the calls in it cost: a count for each kind."""

    def __init__(self, place):
        self.place = place
        self.requests = {}

    def read(self):
        # Asked for by way of the store: this costs the mount no request.
        stats = json.loads(support.sstfs('stats', '--json', self.place.store).stdout)
        return {name.removeprefix('request_'): each['count']
                for name, each in stats['latencies'].items()
                if name.startswith('request_')}

    def __enter__(self):
        self.before = self.read()
        return self

    def __exit__(self, *_):
        after = self.read()
        self.requests = {name: count - self.before.get(name, 0) for name, count in after.items()
                         if count != self.before.get(name, 0)}

    def cost(self, **wanted):
        """Fails unless these requests were made, and no others. What is not known of the kernel's
        choice (how many pages a listing takes) is True: any number."""
        left = dict(self.requests)
        for name, count in wanted.items():
            made = left.pop(name, 0)
            if not (made > 0 if count is True else made == count):
                raise support.Failed(f'{name}: {made}, want {count}; all: {self.requests}')
        if left:
            raise support.Failed(f'besides: {left}')


def list_long(folder):
    with os.scandir(folder) as entries:
        return [entry.stat(follow_symlinks=False) for entry in entries]


def a_second_long_listing_asks_for_no_entry(place):
    place.mount()
    folder = place.mnt / 'd'
    folder.mkdir()
    for i in range(500):
        (folder / f'{i:03}').write_bytes(b'x')
    place.remount()
    assert len(list_long(folder)) == 500
    with Counted(place) as counted:
        assert len(list_long(folder)) == 500
    # Reading it may have changed the directory's own time of access.
    assert counted.requests.pop('getattr', 0) <= 1, counted.requests
    counted.cost(opendir=1, readdirplus=True)


def a_cold_long_listing_asks_for_few_entries(place):
    """READDIRPLUS brings the attributes: not one look-up for each name."""
    place.mount()
    folder = place.mnt / 'd'
    folder.mkdir()
    for i in range(2000):
        (folder / f'{i:04}').write_bytes(b'x')
    place.remount()
    with Counted(place) as counted:
        assert len(list_long(folder)) == 2000
    # The kernel begins with a plain page or two where it has not seen that entries are looked at.
    assert counted.requests.get('lookup', 0) < 500, counted.requests
    assert counted.requests['readdirplus'] > 0, counted.requests


def a_write_of_a_mebibyte_is_one_request(place):
    place.mount()
    fd = os.open(place.mnt / 'f', os.O_WRONLY | os.O_CREAT)
    with Counted(place) as counted:
        assert os.write(fd, bytes(1 << 20)) == 1 << 20
    counted.cost(write=1, getxattr=1)
    with Counted(place) as counted:
        assert os.write(fd, bytes(1 << 20)) == 1 << 20
    counted.cost(write=1)
    with Counted(place) as counted:
        os.close(fd)
    counted.cost()


def small_writes_ask_for_no_attribute(place):
    """Neither security.capability before each write, nor the size after it."""
    place.mount()
    fd = os.open(place.mnt / 'f', os.O_RDWR | os.O_CREAT)
    os.pwrite(fd, b'x', 0)
    with Counted(place) as counted:
        for i in range(100):
            os.pwrite(fd, b'y' * 128, i * 128)  # none lies in two pages
    counted.cost(write=100)
    os.close(fd)


def what_was_read_is_read_from_the_page_cache(place):
    place.mount()
    (place.mnt / 'f').write_bytes(os.urandom(75 * 4096))  # it ends with a page
    with Counted(place) as counted:
        (place.mnt / 'f').read_bytes()
    assert 'read' not in counted.requests, counted.requests
    place.remount()
    first = (place.mnt / 'f').read_bytes()
    with Counted(place) as counted:
        assert (place.mnt / 'f').read_bytes() == first
    assert 'read' not in counted.requests, counted.requests


def an_absent_name_is_asked_for_once(place):
    place.mount()
    assert not (place.mnt / 'absent').exists()
    with Counted(place) as counted:
        for _ in range(100):
            assert not (place.mnt / 'absent').exists()
    counted.cost()
    (place.mnt / 'absent').write_bytes(b'')
    assert (place.mnt / 'absent').exists()


def a_warm_path_is_walked_without_a_request(place):
    place.mount()
    folder = place.mnt / 'a' / 'b' / 'c'
    folder.mkdir(parents=True)
    (folder / 'f').write_bytes(b'')
    os.stat(folder / 'f')
    with Counted(place) as counted:
        for _ in range(100):
            os.stat(folder / 'f')
    counted.cost()


def making_a_file_is_a_lookup_and_a_create(place):
    place.mount()
    with Counted(place) as counted:
        for i in range(50):
            os.close(os.open(place.mnt / f'{i}', os.O_CREAT | os.O_WRONLY | os.O_EXCL))
    counted.cost(lookup=50, create=50, getattr=49)


def removing_a_tree_asks_for_no_file(place):
    place.mount()
    folder = place.mnt / 'd'
    folder.mkdir()
    for i in range(300):
        (folder / f'{i}').write_bytes(b'x')
    with Counted(place) as counted:
        support.run('rm', '-r', folder)
    counted.cost(unlink=300, rmdir=1, opendir=True, readdir=True, readdirplus=True, getattr=301)


def a_rename_is_a_lookup_and_a_rename(place):
    place.mount()
    (place.mnt / 'a').write_bytes(b'')
    assert not (place.mnt / 'b').exists()
    with Counted(place) as counted:
        os.rename(place.mnt / 'a', place.mnt / 'b')
        os.rename(place.mnt / 'b', place.mnt / 'a')
    counted.cost(rename=2, lookup=2, getattr=1)


def a_symbolic_link_is_read_once(place):
    place.mount()
    (place.mnt / 'link').symlink_to('target')
    assert os.readlink(place.mnt / 'link') == 'target'
    with Counted(place) as counted:
        for _ in range(20):
            assert os.readlink(place.mnt / 'link') == 'target'
    assert 'readlink' not in counted.requests, counted.requests


def a_copy_within_the_mount_moves_no_payload(place):
    place.mount()
    (place.mnt / 'a').write_bytes(bytes(8 << 20))
    with open(place.mnt / 'a', 'rb') as a, open(place.mnt / 'b', 'wb') as b:
        with Counted(place) as counted:
            copied = 0
            while copied < 8 << 20:
                copied += os.copy_file_range(a.fileno(), b.fileno(), 8 << 20)
    assert 'write' not in counted.requests and 'read' not in counted.requests, counted.requests
    assert counted.requests['copy_file_range'] >= 1, counted.requests


if __name__ == '__main__':
    sys.exit(support.main([
        a_second_long_listing_asks_for_no_entry,
        a_cold_long_listing_asks_for_few_entries,
        a_write_of_a_mebibyte_is_one_request,
        small_writes_ask_for_no_attribute,
        what_was_read_is_read_from_the_page_cache,
        an_absent_name_is_asked_for_once,
        a_warm_path_is_walked_without_a_request,
        making_a_file_is_a_lookup_and_a_create,
        removing_a_tree_asks_for_no_file,
        a_rename_is_a_lookup_and_a_rename,
        a_symbolic_link_is_read_once,
        a_copy_within_the_mount_moves_no_payload,
    ]))
