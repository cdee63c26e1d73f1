#!/usr/bin/env python3
"""Goal: `sstfs log dump` shows every mutation that is in the log of a store, and every hole; of a
copy of its segments too; and writes nothing.
Method: a few operations whose rows are known; the log as JSON.
"""
import hashlib
import json
import os
import sys

import support
from support import run, sstfs


def state_of(folder):
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob('*')) if path.is_file()}


def dump(folder, code=0):
    return json.loads(sstfs('log', 'dump', folder, code=code).stdout)


def updates_of(records, table):
    return [update['update'] for record in records for update in record.get('updates', [])
            if update['table'] == table]


def rows_named(records, name):
    wanted = name.encode().hex()
    return [row for update in updates_of(records, 'dirents') for row in update['rows']
            if wanted in ''.join(row.get('clustering', []))]


def synced(path, content):
    with open(path, 'wb') as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def logged(place):
    """A store with a log whose daemon has died, so that nothing of it is flushed."""
    place.mount()
    synced(place.mnt / 'first-file', b'one')
    synced(place.mnt / 'second-file', b'two')
    synced(place.mnt / 'third-file', os.urandom(200000))
    (place.mnt / 'first-file').unlink()
    place.kill()


def mutations_are_shown_in_their_order(place):
    logged(place)
    before = state_of(place.store)
    records = dump(place.store)
    assert state_of(place.store) == before
    batches = [record for record in records if 'updates' in record]
    times = [batch['timestamp'] for batch in batches]
    assert times == sorted(times) and len(set(times)) == len(times), times
    assert records[-1]['end'] and records[-1]['batches'] == len(batches)
    first = rows_named(records, 'first-file')
    assert 'cells' in first[0] and 'deletion_info' in first[-1], first
    assert len(rows_named(records, 'second-file')) >= 1
    assert b'two'.hex() in json.dumps(updates_of(records, 'small'))
    assert sum(len(row['cells']) for update in updates_of(records, 'blocks')
               for row in update['rows']) >= 49  # pages of 4096 bytes
    assert not any('hole' in record or 'missing_values' in record for record in records)


def a_store_that_is_mounted_or_none_is_refused(place):
    place.mount()
    assert 'is mounted' in sstfs('log', 'dump', place.store, code=9).stderr
    place.umount()
    assert dump(place.store)[-1]['end']
    sstfs('log', 'dump', place.top / 'nowhere', code=4)
    sstfs('log', 'dump', code=2)


def with_large_values(place):
    """A log that keeps some of them beside its records, for which it makes room by and by."""
    place.mount()
    written = 0

    def write_another():
        nonlocal written
        synced(place.mnt / f'large{written}', os.urandom(200000))
        written += 1
        return any(path.read_bytes()[:8192].strip(b'\0')
                   for path in (place.store / 'commitlog').glob('v*'))
    support.wait_until(write_another, 'no value beside the records')
    synced(place.mnt / 'third-file', b'three')
    place.kill()


def a_folder_of_segments_will_do(place):
    with_large_values(place)
    archive = place.top / 'archive'
    run('cp', '-a', place.store / 'commitlog', archive)
    assert dump(archive) == dump(place.store)
    for path in archive.glob('v*'):
        path.unlink()
    records = dump(archive)
    assert any(record.get('missing_values') == ['blocks'] for record in records)
    assert rows_named(records, 'third-file')


def an_archive_will_do_and_one_segment(place):
    place.mount('archive=on')
    sets = place.top / 'sets'
    sets.mkdir()
    for name in ['first-file', 'second-file', 'third-file', 'fourth-file']:
        place.snapshot(f'before-{name}')
        synced(place.mnt / name, name.encode())
        sstfs('backup', '--tag', f'before-{name}', place.mnt, sets)  # ends a segment
    log = sets / 'log'
    whole = dump(log)
    segments = sorted(log.iterdir())
    assert len(segments) == 4 and whole[-1]['end'] and not any('hole' in record for record in whole)
    for path, name in zip(segments, ['first-file', 'second-file', 'third-file', 'fourth-file']):
        assert rows_named(whole, name)
        records = dump(path)
        assert rows_named(records, name) and records[-1]['batches'] == len(records) - 1
        assert {f"{record['segment']:016x}.log" for record in records[:-1]} == {path.name}
        # Whatever its name is.
        path.rename(place.top / ('a segment of yesterday ' + 20 * 'x'))
        assert dump(place.top / ('a segment of yesterday ' + 20 * 'x')) == records
        (place.top / ('a segment of yesterday ' + 20 * 'x')).rename(path)
    segments[1].unlink()
    (log / 'folder').mkdir()
    (log / 'note').write_text('of something else')
    records = dump(log, code=1)
    assert [record['hole']['next_segment'] for record in records if 'hole' in record] == [int(segments[2].stem, 16)]
    assert rows_named(records, 'first-file') and rows_named(records, 'third-file')
    assert not rows_named(records, 'second-file')
    done = sstfs('log', 'dump', log / 'note', code=1)
    assert 'does not begin as a log segment' in done.stderr and not done.stdout, done


def a_hole_is_shown(place):
    logged(place)
    path = next(p for p in (place.store / 'commitlog').iterdir()
                if p.name.startswith('r') and b'second-file' in p.read_bytes())
    with open(path, 'r+b') as file:
        file.seek(path.read_bytes().index(b'second-file'))
        file.write(b'S')
    records = dump(place.store, code=1)
    holes = [record for record in records if 'hole' in record]
    assert len(holes) == 1 and holes[0]['hole']['next_offset'] > holes[0]['offset'], holes
    assert rows_named(records, 'first-file') and rows_named(records, 'third-file')


if __name__ == '__main__':
    sys.exit(support.main([
        mutations_are_shown_in_their_order,
        a_store_that_is_mounted_or_none_is_refused,
        a_folder_of_segments_will_do,
        an_archive_will_do_and_one_segment,
        a_hole_is_shown,
    ]))
