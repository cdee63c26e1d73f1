#!/usr/bin/env python3
"""Goal: what --json prints is one document that says what the words say, whatever is in names.
Method: each command that has it, on a store that is whole and on one that is not.
"""
import json
import os
import subprocess
import sys

import support
from support import copied_snapshot, sstfs
from test_repair import make_a_hole


def told(*arguments, code=0):
    done = sstfs(*arguments, code=code)
    assert done.stderr == '', done.stderr
    return json.loads(done.stdout)


def what_is_proved_and_what_is_damaged(place):
    copy = copied_snapshot(place)
    whole = told('verify', '--json', copy)
    assert whole['folder'] == str(copy) and whole['findings'] == [] and whole['strangers'] == []
    assert whole['files'] == 8 and whole['directories'] == 1 and whole['sstables'] == 3 and whole['sums'] > 24
    assert told('scrub', '--json', place.mnt) == {
        'folder': str(place.store), 'sstables': 3, 'checked': 3, 'damaged': 0, 'healed': 0, 'damages': []}
    place.umount()
    checked = told('check', '--json', place.store)
    assert checked['store'] == str(place.store) and checked['snapshots'] == 1 and checked['findings'] == []
    sstfs('check', '--json', '-y', place.store, code=2)
    data = next(copy.glob('sstfs/blocks-*/nb-*-Data.db'))
    data.chmod(0o600)
    with open(data, 'r+b') as file:
        file.write(b'damage')
    (data.parent / 'stranger').write_text('')
    hurt = told('verify', '--json', copy, code=1)
    assert any(data.name in text for text in hurt['findings']), hurt
    assert hurt['strangers'] == [f'sstfs/{data.parent.name}/stranger']
    one = told('scrub', '--json', copy, code=1)
    assert one['damaged'] == 1 and one['damages'][0]['table'] == 'blocks', one
    assert one['damages'][0]['id'] in data.name and not one['damages'][0]['healed']
    one = told('scrub', '--json', '--repair-from', place.store, copy)
    assert one['healed'] == 1 and one['damages'][0]['healed'], one
    (place.store / 'manifest').rename(place.top / 'aside')
    (place.store / 'manifest').mkdir()
    assert 'does not open' in told('check', '--json', place.store, code=1)['findings'][0]


def tags_and_backups(place):
    copied_snapshot(place)
    assert told('snapshot', 'list', '--json', place.mnt)[0]['tag'] == 'one'
    assert told('snapshot', 'holders', '--json', place.mnt, 'one') == []
    sstfs('snapshot', 'hold', place.mnt, 'one', 'me')
    assert told('snapshot', 'holders', '--json', place.mnt, 'one') == ['me']
    sstfs('snapshot', 'holders', '--json', place.mnt, 'none', code=4)
    sets = place.top / 'sets'
    sets.mkdir()
    place.snapshot('two')
    made = {'destination': str(sets), 'tag': 'one', 'removed': [], 'log': False}
    assert told('backup', '--json', '--tag', 'one', place.mnt, sets) == made
    made = {'destination': str(sets), 'tag': 'two', 'removed': ['one'], 'log': False}
    assert told('backup', '--json', '--tag', 'two', '--keep-last', '1', place.mnt, sets) == made
    assert sstfs('backup', '--json', '--tag', 'none', place.mnt, sets, code=4).stdout == ''


def what_is_done_with_tags(place):
    place.mount()
    named = lambda tag, at: next(one for one in told('snapshot', 'list', '--json', place.mnt) if one['tag'] == tag)[at]
    assert told('snapshot', 'create', '--json', place.mnt, 'one') == {'tag': 'one', 'holds': [], 'expires_us': 0}
    made = told('snapshot', 'create', '--json', '--hold', 'me', '--expire', '7d', place.mnt, 'two')
    assert made == {'tag': 'two', 'holds': ['me'], 'expires_us': named('two', 'expires_us')} and made['expires_us'] > 0
    made = sstfs('snapshot', 'create', '--json', '--hold', 'no/slash', place.mnt, 'three', code=3)
    assert json.loads(made.stdout) == {'tag': 'three', 'holds': [], 'expires_us': 0} and 'is made, but' in made.stderr
    assert sstfs('snapshot', 'create', '--json', place.mnt, 'one', code=5).stdout == ''
    assert told('snapshot', 'rename', '--json', place.mnt, 'three', 'four') == {'tag': 'four', 'was': 'three'}
    assert told('snapshot', 'hold', '--json', place.mnt, 'four', 'me') == {'tag': 'four', 'hold': 'me'}
    assert told('snapshot', 'release', '--json', place.mnt, 'four', 'me') == {'tag': 'four', 'release': 'me'}
    told_of = told('snapshot', 'expire', '--json', place.mnt, 'four', '1d')
    assert told_of == {'tag': 'four', 'expires_us': named('four', 'expires_us')} and told_of['expires_us'] > 0
    assert told('snapshot', 'expire', '--json', place.mnt, 'four', 'never') == {'tag': 'four', 'expires_us': 0}

    (place.mnt / '.snapshots' / 'four' / 'SHA256SUMS').read_bytes()  # complete
    rule = ['--json', '--keep-last', '1', place.mnt]
    would = told('snapshot', 'prune', '-n', *rule)
    assert would['would_remove'] == ['one'] and would['freed_bytes'] >= 0, would
    sstfs('snapshot', 'prune', *rule, code=2)
    assert told('snapshot', 'prune', '-y', *rule) == {'removed': ['one']}
    assert told('snapshot', 'prune', '-y', *rule) == {'removed': []}
    would = told('snapshot', 'delete', '-n', '--json', place.mnt, 'four')
    assert would == {'would_remove': ['four'], 'freed_bytes': named('four', 'freed_bytes')}
    done = sstfs('snapshot', 'delete', '--json', place.mnt, 'four', 'two', code=3)
    assert json.loads(done.stdout) == {'removed': ['four']} and "'two'" in done.stderr
    assert sstfs('snapshot', 'delete', '--json', place.mnt, 'two', code=5).stdout == ''


def what_is_brought_back(place):
    place.mount('archive=on')
    (place.mnt / 'file').write_text('old')
    place.snapshot('one')
    (place.mnt / 'file').unlink()
    done = sstfs('restore', '--json', place.mnt, 'one', 'none', f'{place.mnt}/file', code=3)
    assert json.loads(done.stdout) == {'tag': 'one', 'restored': ['file']}
    assert (place.mnt / 'file').read_text() == 'old'
    assert sstfs('restore', '--json', place.mnt, 'one', 'file', code=5).stdout == ''
    place.umount()
    new = place.top / 'new'
    made = told('restore', '--json', '--at', 'latest', place.store / 'snapshots' / 'one', new)
    assert made['store'] == str(new) and made['changes'] > 1 and made['last_us'] > 1e15, made
    assert sstfs('restore', '--json', '--at', 'latest', place.store / 'snapshots' / 'one', new, code=5).stdout == ''
    sstfs('rollback', '--json', place.store, 'one', code=2, stdin=subprocess.DEVNULL)
    made = told('rollback', '-y', '--json', place.store, 'one')
    assert made['store'] == str(place.store) and made['tag'] == 'one' and made['kept_as'].startswith('before-rollback-')
    assert (place.store / 'snapshots' / made['kept_as']).is_dir()


def what_is_mended(place):
    place.mount()
    (place.mnt / 'file').write_text('x')
    place.umount()
    good = {'store': str(place.store), 'part': 'log', 'good': True, 'repaired': False, 'found': [], 'losses': []}
    assert told('repair', '--json', '-n', '--log', place.store) == good
    for path in (place.store / 'manifest').iterdir():
        path.unlink()
    sstfs('repair', '--json', '--manifest', place.store, code=2)
    seen = told('repair', '--json', '-n', '--manifest', place.store, code=1)
    assert not seen['good'] and not seen['repaired'] and seen['part'] == 'manifest' and seen['losses'] == []
    assert any('dirents: ' in text for text in seen['found']), seen
    assert told('repair', '--json', '-y', '--manifest', place.store) == {**seen, 'repaired': True}
    assert told('repair', '--json', '-y', '--manifest', place.store)['good']
    make_a_hole(place)
    lost = told('repair', '--json', '-y', '--log', place.store)
    assert lost['repaired'] and len(lost['losses']) == 1 and lost['losses'][0].startswith('log: '), lost


def names_of_any_bytes(place):
    place.mount()
    place.snapshot('one')
    names = {b'plain': 'plain', 'é😀'.encode(): 'é😀', b'two\nlines "quoted"': 'two\nlines "quoted"',
             b'latin\xe9': 'latin\ufffd', b'cut\xf0\x9f\x98': 'cut\ufffd\ufffd\ufffd',
             b'over\xc0\x80long': 'over\ufffd\ufffdlong', b'longer\xe0\x80\x80': 'longer\ufffd\ufffd\ufffd',
             b'sur\xed\xa0\x80rogate': 'sur\ufffd\ufffd\ufffdrogate'}
    for name in names:
        os.close(os.open(os.fsencode(place.mnt) + b'/' + name, os.O_CREAT | os.O_WRONLY))
    os.symlink('plain', place.mnt / 'link')
    place.snapshot('two')
    changes = told('diff', '--json', place.mnt, 'one', 'two', code=1)
    wanted = {f'/{name}' for name in names.values()} | {'/link'}
    assert {one['path'] for one in changes if one['change'] == '+'} == wanted, changes
    place.umount()
    listed = {one['name']: one for one in told('ls', '--json', place.store)}
    assert set(listed) == set(names.values()) | {'link'}
    assert listed['link']['target'] == 'plain' and listed['link']['mode'][0] == 'l'
    assert listed['plain']['size'] == 0 and listed['plain']['inode'] > 0
    assert [one['name'] for one in told('ls', '--json', f'{place.store}:plain')] == ['plain']
    sstfs('cat', '--json', f'{place.store}:plain', code=2)


def what_a_store_takes(place):
    copied_snapshot(place)
    space = told('space', '--json', place.mnt)
    assert space['total'] == sum(size for name, size in space.items() if name != 'total')
    assert isinstance(told('stats', '--json', place.mnt), dict)
    rows = subprocess.run([support.SSTFS, 'dump', next(place.store.glob('data/sstfs/meta-*/nb-*-Data.db'))],
                          capture_output=True, check=True).stdout
    json.loads(rows)


if __name__ == '__main__':
    sys.exit(support.main([
        what_is_proved_and_what_is_damaged,
        tags_and_backups,
        what_is_done_with_tags,
        what_is_brought_back,
        what_is_mended,
        names_of_any_bytes,
        what_a_store_takes,
    ]))
