#!/usr/bin/env python3
"""
Compares two dumps in the form of sstabledump and shows where they first differ.

    compare.py [--ignore KEY]... LEFT RIGHT          # - is standard input

Each is an array of partitions, as `sstabledump` prints it, or has one object per line, as `sstabledump -l`,
`sstfs dump` and `cassandra-tools check`, `merge` and `merge --live` do. The order of keys within an object means
nothing; that of partitions, rows and cells does, and numbers must have the same digits. Left out are

    position    where something is in its file: another writer's may be elsewhere
    expired     whether a cell has expired by the clock of the one who dumped
    --ignore    what else is named, such as local_delete_time, which is the clock of the one who wrote

but never within a value or a key of the table's own, which may have such names too. Lines of `check` that sum up an
SSTable are passed over. Exit status: 0 the same, 1 different, 2 not comparable.
"""
import argparse
import itertools
import json
import sys

IGNORED = {'position', 'expired'}
# Under these are the table's own data.
DATA = {'key', 'clustering', 'path', 'value'}
SHOWN_CHARACTERS_MAX = 300
MISSING = object()


class Number(str):
    """A number as it was written: 1.50 is another decimal than 1.5."""


class Unreadable(Exception):
    pass


def object_of(pairs):
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError('an object with one key twice: %s' % [key for key, _ in pairs])
    return made


def parse(text, where):
    try:
        return json.loads(text, object_pairs_hook=object_of, parse_float=Number, parse_int=Number,
                          parse_constant=Number)
    except ValueError as error:
        raise Unreadable('%s: %s' % (where, error)) from error


def lines_of(file, name):
    try:
        yield from file
    except UnicodeDecodeError as error:
        raise Unreadable('%s: %s' % (name, error)) from error


def objects_of(file, name):
    """Every object; of a file with one per line no more than one line is held."""
    lines = enumerate(lines_of(file, name), 1)
    for number, line in lines:
        if not line.strip():
            continue
        if line.lstrip().startswith('['):
            rest = ''.join(itertools.chain([line], (text for _, text in lines)))
            array = parse(rest, name)
            yield from array
            return
        made = parse(line, '%s:%d' % (name, number))
        if not isinstance(made, dict):
            raise Unreadable('%s:%d: not an object' % (name, number))
        if 'sstable' not in made or 'partitions' not in made:
            yield made


def shown(value):
    if value is MISSING:
        return '(nothing)'
    text = str(value) if isinstance(value, Number) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN_CHARACTERS_MAX else text[:SHOWN_CHARACTERS_MAX] + '…'


def name_of(value, index):
    """An element of an array by what identifies it to a reader."""
    if isinstance(value, dict):
        for key in ('clustering', 'name', 'type'):
            if key in value:
                return '[%d: %s]' % (index, shown(value[key]))
    return '[%d]' % index


def difference(left, right, ignored, path=''):
    """None, or (path, left, right) of the first difference."""
    if isinstance(left, dict) and isinstance(right, dict):
        for key in itertools.chain(left, (key for key in right if key not in left)):
            if key in ignored:
                continue
            found = difference(left.get(key, MISSING), right.get(key, MISSING),
                               frozenset() if key in DATA else ignored, path + '.' + key)
            if found:
                return found
        return None
    if isinstance(left, list) and isinstance(right, list):
        for index, (a, b) in enumerate(itertools.zip_longest(left, right, fillvalue=MISSING)):
            found = difference(a, b, ignored, path + name_of(b if a is MISSING else a, index))
            if found:
                return found
        return None
    # A Number is a str: the text "1" is not the number 1.
    if type(left) is type(right) and left == right:
        return None
    return path, left, right


def title_of(value, index):
    key = value.get('partition', {}).get('key') if isinstance(value, dict) else None
    return 'object %d' % index if key is None else 'partition %d, key %s' % (index, shown(key))


def compare(left, right, ignored):
    """(None or a text about the first difference, how many objects were the same)"""
    count = 0
    for a, b in itertools.zip_longest(left, right, fillvalue=MISSING):
        # A row of SELECT JSON is all the table's own.
        is_dump = any(isinstance(value, dict) and 'partition' in value for value in (a, b))
        found = difference(a, b, ignored if is_dump else frozenset())
        if found:
            path, x, y = found
            title = title_of(b if a is MISSING else a, count)
            return '%s%s\n  left   %s\n  right  %s' % (
                title, ': ' + path.lstrip('.') if path else '', shown(x), shown(y)), count
        count += 1
    return None, count


def open_input(name):
    return sys.stdin if name == '-' else open(name, encoding='utf-8')


def main(arguments):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--ignore', action='append', default=[], metavar='KEY')
    parser.add_argument('left')
    parser.add_argument('right')
    options = parser.parse_args(arguments)
    try:
        with open_input(options.left) as left, open_input(options.right) as right:
            found, count = compare(objects_of(left, options.left), objects_of(right, options.right),
                                   frozenset(IGNORED | set(options.ignore)))
    except (OSError, Unreadable) as error:
        print('compare: %s' % error, file=sys.stderr)
        return 2
    if found:
        print('different at ' + found)
        return 1
    print('the same: %d' % count)
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
