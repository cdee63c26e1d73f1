#!/usr/bin/env python3
"""Goal: what a mount tells of itself is true, and what monitoring reads is OpenMetrics.
Method: known work, then the counters; the text is read as a scraper reads it.
"""
import re
import sys

import support
from support import Failed, sstfs

SAMPLE = re.compile(r'^(sstfs_[a-z_]+?)(_total|_bucket|_count|_sum)?(\{[^}]*\})? ([0-9.e+]+)$')


def scrape(place):
    """Samples by name and labels; families by name. Fails on what is no OpenMetrics."""
    lines = sstfs('stats', '--metrics', place.mnt).stdout.split('\n')
    if lines[-2:] != ['# EOF', '']:
        raise Failed(f'the text ends with {lines[-2:]}')
    samples, families = {}, {}
    for line in lines[:-2]:
        if line.startswith('# TYPE '):
            _, _, family, kind = line.split(' ')
            if family in families:
                raise Failed(f'{family} is there twice')
            families[family] = kind
        elif line.startswith('# UNIT '):
            _, _, family, unit = line.split(' ')
            assert family.endswith('_' + unit), line
        elif not line.startswith('# HELP '):
            match = SAMPLE.match(line)
            if not match:
                raise Failed(f'no sample: {line}')
            name, suffix, labels, value = match.groups()
            wanted = {'counter': ['_total'], 'gauge': [None],
                      'histogram': ['_bucket', '_count', '_sum']}[families[name]]
            assert suffix in wanted, line
            samples[name + (suffix or '') + (labels or '')] = float(value)
    return samples, families


def work_is_counted(place):
    place.mount()
    before = place.stats()
    (place.mnt / 'd').mkdir()
    for i in range(20):
        (place.mnt / 'd' / f'{i}').write_bytes(b'x' * 100000)
    sstfs('flush', place.mnt)
    after = place.stats()
    assert after['batches'] >= before['batches'] + 41
    assert after['batch_bytes'] >= 2000000
    assert after['flushes'] > before['flushes']
    assert after['nodes'] >= 22 and after['node_bytes'] > 22 * 100
    took = after['latencies']
    assert took['request_create']['count'] == 20, took
    assert took['request_mkdir']['count'] == 1, took
    assert took['flush']['count'] > 0, took
    for name, each in took.items():
        assert 0 < each['p50_us'] <= each['p99_us'] <= each['p999_us'], name
    text = sstfs('stats', place.mnt).stdout
    assert re.search(r'^request_create +20 ', text, re.M), text


def metrics_are_openmetrics(place):
    place.mount()
    for i in range(7):
        (place.mnt / f'{i}').symlink_to('target')
    samples, families = scrape(place)
    assert families['sstfs_batches'] == 'counter'
    assert families['sstfs_memtable_bytes'] == 'gauge'
    assert families['sstfs_request_seconds'] == 'histogram'
    assert samples['sstfs_batches_total'] >= 7
    buckets = [(name, value) for name, value in samples.items()
               if name.startswith('sstfs_request_seconds_bucket{operation="symlink"')]
    values = [value for _, value in buckets]
    assert values == sorted(values) and values[-1] == 7, buckets
    assert 'le="+Inf"' in buckets[-1][0]
    assert samples['sstfs_request_seconds_count{operation="symlink"}'] == 7
    assert samples['sstfs_request_seconds_sum{operation="symlink"}'] > 0
    again, _ = scrape(place)
    for name, value in samples.items():
        if name.endswith('_total'):
            assert again[name] >= value, name


if __name__ == '__main__':
    sys.exit(support.main([work_is_counted, metrics_are_openmetrics]))
