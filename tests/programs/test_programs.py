#!/usr/bin/env python3
"""Goal: real programs work in a mount as on a local disk.

Method: each does a piece of real work there, and what came of it is compared with the same work on the disk below, or
proven by the program's own checker, not only by exit codes; then the store is verified.

usage: test_programs.py [CASE…]       SSTFS names the binary
"""
import ctypes
import os
import random
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / 'posix'))
import support  # noqa: E402
from support import Failed, run, same_tree  # noqa: E402

PROJECT = HERE.parents[1]
POSTGRES = Path('/usr/lib/postgresql/15/bin')


def mounted(place):
    """The mount, open to other users; a folder beside it on the disk."""
    place.mount()
    os.chmod(place.top, 0o755)
    os.chmod(place.mnt, 0o755)
    disk = place.top / 'disk'
    disk.mkdir()
    return place.mnt, disk


def proven(place):
    place.umount()
    support.no_damage(place.store)


def git(repository, *words):
    return run('git', '-c', 'user.name=n', '-c', 'user.email=e@x', '-c', 'commit.gpgsign=false', '-C', repository, *words).stdout


def make_repository(top, chance):
    """Thirty commits over some hundred files, with branches and a tag."""
    git(top.parent, 'init', '-q', '-b', 'main', top)
    for number in range(30):
        for _ in range(20):
            path = top / f'd{chance.randrange(8)}' / f'f{chance.randrange(60)}'
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(chance.randbytes(chance.randrange(1, 20000)).hex().encode())
        git(top, 'add', '-A')
        git(top, 'commit', '-qm', f'commit {number}')
        if number == 10:
            git(top, 'tag', 'old')
            git(top, 'branch', 'side')
    return top


def git_clones_collects_and_checks(place):
    mnt, disk = mounted(place)
    source = make_repository(disk / 'source', random.Random(1))
    clone = mnt / 'clone'
    run('git', 'clone', '-q', '--no-hardlinks', source, clone)
    assert git(clone, 'rev-parse', 'HEAD^{tree}') == git(source, 'rev-parse', 'HEAD^{tree}')
    git(clone, 'checkout', '-q', 'old')
    assert git(clone, 'status', '--porcelain') == ''
    git(source, 'checkout', '-q', 'old')
    same_tree_but_git(source, clone)
    git(clone, 'checkout', '-q', 'main')
    git(clone, 'repack', '-adq')
    git(clone, 'gc', '-q', '--prune=now')
    assert git(clone, 'fsck', '--strict', '--full') == ''
    place.remount()
    assert git(clone, 'status', '--porcelain') == ''
    (clone / 'd0' / 'new').write_text('new')
    assert git(clone, 'status', '--porcelain') == '?? d0/new\n'
    proven(place)


def same_tree_but_git(a, b):
    done = run('rsync', '-rlpHnic', '--delete', '--exclude', '.git', f'{a}/', f'{b}/')
    if done.stdout.strip():
        raise Failed(done.stdout)


def sqlite(database, statements):
    return run('sqlite3', '-bail', database, input=statements).stdout


def sqlite_survives_kills_in_both_journals(place):
    mnt, _ = mounted(place)
    for mode in 'delete', 'wal':
        database = mnt / f'{mode}.db'
        sqlite(database, f'PRAGMA journal_mode={mode}; PRAGMA synchronous=FULL; CREATE TABLE t(n INTEGER PRIMARY KEY, v BLOB);')
        sqlite(database, 'BEGIN;' + ''.join(f'INSERT INTO t VALUES({n}, zeroblob({n % 3000}));' for n in range(2000)) + 'COMMIT;')
        # Killed in the middle of single transactions: each that was acknowledged must be there.
        writer = subprocess.Popen(['sqlite3', '-bail', database], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for n in range(2000, 2100):
            writer.stdin.write(f'INSERT INTO t VALUES({n}, randomblob(500)); SELECT {n};\n')
        writer.stdin.write('BEGIN; UPDATE t SET v = randomblob(900);\n')
        writer.stdin.flush()
        acknowledged = [int(writer.stdout.readline()) for _ in range(60)][-1]
        place.kill(signal.SIGKILL)
        writer.kill()
        writer.communicate()
        place.mount()
        assert sqlite(database, 'PRAGMA integrity_check;') == 'ok\n'
        count = int(sqlite(database, 'SELECT count(*) FROM t;'))
        assert acknowledged + 1 <= count <= 2100, (acknowledged, count)
    proven(place)


def postgres(*words, data, **options):
    """One of PostgreSQL's programs, as the user it insists on."""
    return run('runuser', '-u', 'postgres', '--', 'env', f'PGHOST={data.parent}', 'PGPORT=54329', 'PGDATABASE=postgres',
               POSTGRES / words[0], *words[1:], cwd='/', **options).stdout


def postgresql_initdb_pgbench_restart_amcheck(place):
    mnt, _ = mounted(place)
    home = mnt / 'pg'
    home.mkdir()
    shutil.chown(home, 'postgres', 'postgres')
    data = home / 'data'

    def server(*words):
        try:
            postgres('pg_ctl', '-D', data, '-l', home / 'log', '-w', '-t', '100', *words, data=data)
        except Failed as failed:
            raise Failed(f"{failed}\nthe server's log:\n{(home / 'log').read_text()[-2000:]}") from failed

    postgres('initdb', '-D', data, '--data-checksums', '-A', 'trust', data=data)
    start = ('-o', f"-c listen_addresses='' -c unix_socket_directories={home} -p 54329 -c max_connections=20", 'start')
    server(*start)
    postgres('pgbench', '-i', '-q', '-s', '3', data=data)
    postgres('pgbench', '-n', '-c', '4', '-j', '2', '-t', '150', data=data)
    server('-m', 'immediate', 'stop')
    server(*start)
    postgres('pgbench', '-n', '-c', '4', '-j', '2', '-t', '50', data=data)
    postgres('psql', '-c', 'CREATE EXTENSION amcheck', data=data)
    postgres('pg_amcheck', '--heapallindexed', '-a', data=data)
    sums = postgres('psql', '-At', '-c', 'SELECT (SELECT sum(tbalance) FROM pgbench_tellers) = (SELECT sum(delta) FROM '
                    'pgbench_history), (SELECT count(*) FROM pgbench_history)', data=data)
    assert sums == 't|800\n', sums
    # The daemon dies under the running server, which then has to recover from its log.
    postmaster = (data / 'postmaster.pid').read_text().split()[0]
    place.kill(signal.SIGKILL)
    subprocess.run(['pkill', '-KILL', '-P', postmaster], check=False)
    os.kill(int(postmaster), signal.SIGKILL)
    place.mount()
    # The dead server may still be in the process table, where nobody waits for it.
    for lock in data / 'postmaster.pid', home / '.s.PGSQL.54329.lock':
        lock.unlink(missing_ok=True)
    server(*start)
    postgres('pg_amcheck', '-a', data=data)
    sums = postgres('psql', '-At', '-c', 'SELECT count(*) FROM pgbench_history', data=data)
    assert sums == '800\n', sums
    server('-m', 'fast', 'stop')
    postgres('pg_checksums', '--check', '-D', data, data=data)
    proven(place)


def rsync_both_ways_and_again(place):
    mnt, disk = mounted(place)
    run('cp', '-a', '/usr/include', disk / 'tree')
    run('setfattr', '-n', 'user.k', '-v', 'v', disk / 'tree' / 'stdio.h')
    os.link(disk / 'tree' / 'stdio.h', disk / 'tree' / 'linked.h')
    run('rsync', '-aHAX', f'{disk}/tree/', mnt / 'tree')
    same_tree(disk / 'tree', mnt / 'tree')
    place.remount()
    again = run('rsync', '-aHAX', '--itemize-changes', f'{disk}/tree/', mnt / 'tree').stdout
    assert again == '', again
    shutil.rmtree(disk / 'tree' / 'linux')
    (disk / 'tree' / 'stdlib.h').write_text('changed')
    run('rsync', '-aHAX', '--delete', f'{disk}/tree/', mnt / 'tree')
    run('rsync', '-aHAX', f'{mnt}/tree/', disk / 'back')
    same_tree(disk / 'tree', disk / 'back')
    proven(place)


def tar_keeps_holes_attributes_and_lists(place):
    mnt, disk = mounted(place)
    tree = mnt / 'tree'
    tree.mkdir()
    with open(tree / 'sparse', 'wb') as file:
        for offset in 0, 5 << 20, (5 << 20) + 4096, 40 << 20:
            file.seek(offset)
            file.write(os.urandom(4096))
    (tree / 'plain').write_bytes(os.urandom(300_000))
    os.setxattr(tree / 'plain', 'user.colour', b'blue')
    os.setxattr(tree / 'plain', 'trusted.secret', b'x')
    run('setfacl', '-m', 'u:7:rw', tree / 'plain')
    run('tar', '--acls', '--xattrs', '--xattrs-include=*', '-S', '-C', mnt, '-cf', disk / 'tree.tar', 'tree')
    assert (disk / 'tree.tar').stat().st_size < 600_000
    for where in disk, mnt / 'out':
        where.mkdir(exist_ok=True)
        run('tar', '--acls', '--xattrs', '--xattrs-include=*', '-S', '-C', where, '-xf', disk / 'tree.tar')
        same_tree(tree, where / 'tree')
        assert os.getxattr(where / 'tree' / 'plain', 'trusted.secret') == b'x'
        assert run('getfacl', '-n', '-p', '-c', where / 'tree' / 'plain').stdout == run(
            'getfacl', '-n', '-p', '-c', tree / 'plain').stdout
    assert (mnt / 'out' / 'tree' / 'sparse').stat().st_blocks == 4 * 8
    proven(place)


def cp_and_find_see_the_same(place):
    mnt, disk = mounted(place)
    run('cp', '-a', '/usr/share/doc/', disk / 'tree')
    run('cp', '-a', disk / 'tree', mnt / 'tree')
    what = '%P %y %m %U %G %n %l %T@ %s\n'
    listed = [sorted(run('find', top / 'tree', '-not', '-type', 'd', '-printf', what).stdout.splitlines()) for top in (disk, mnt)]
    assert listed[0] == listed[1]
    folders = [sorted(run('find', top / 'tree', '-type', 'd', '-printf', '%P %m %U %G %n %T@\n').stdout.splitlines())
               for top in (disk, mnt)]
    # ext4 says one link of a directory with very many subdirectories; there are none such here.
    assert folders[0] == folders[1]
    place.remount()
    same_tree(disk / 'tree', mnt / 'tree')
    proven(place)


def a_build_inside_makes_a_program_that_works(place):
    mnt, _ = mounted(place)
    tree = mnt / 'sstfs'
    files = run('git', '-C', PROJECT, 'ls-files', 'engine', 'fs', 'tools', 'meson.build', 'tests/support', 'tests/unit').stdout
    for name in files.splitlines():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(PROJECT / name, tree / name)
    # The program alone: its tests are not what is tested here.
    (tree / 'tests' / 'meson.build').write_text('')
    run('meson', 'setup', tree / 'build', tree)
    run('ninja', '-C', tree / 'build', '-j4', 'sstfs')
    assert run(tree / 'build' / 'sstfs', '--version').stdout == run(support.SSTFS, '--version').stdout
    assert 'no work to do' in run('ninja', '-C', tree / 'build', 'sstfs').stdout
    place.remount()
    assert 'no work to do' in run('ninja', '-C', tree / 'build', 'sstfs').stdout
    proven(place)


def unzip_and_zip_agree(place):
    mnt, disk = mounted(place)
    chance = random.Random(3)
    with zipfile.ZipFile(disk / 'archive.zip', 'w', zipfile.ZIP_DEFLATED) as archive:
        for number in range(500):
            archive.writestr(f'd{number % 20}/f{number}', chance.randbytes(chance.randrange(5000)))
    run('unzip', '-q', disk / 'archive.zip', '-d', mnt / 'out')
    run('unzip', '-q', disk / 'archive.zip', '-d', disk / 'out')
    for side in disk, mnt:  # the archive has files alone: directories are as old as their making
        for folder, _, _ in os.walk(side / 'out'):
            os.utime(folder, (0, 0))
    same_tree(disk / 'out', mnt / 'out')
    run('zip', '-q', '-r', mnt / 'again.zip', '.', cwd=mnt / 'out')
    run('unzip', '-tq', mnt / 'again.zip')
    proven(place)


def a_python_venv_works(place):
    mnt, _ = mounted(place)
    run(sys.executable, '-m', 'venv', mnt / 'venv')
    python = mnt / 'venv' / 'bin' / 'python'
    assert run(python, '-c', 'import sys; print(sys.prefix)').stdout.strip() == str(mnt / 'venv')
    assert run(python, '-m', 'pip', '--version').stdout.startswith('pip ')
    run(python, '-m', 'compileall', '-q', mnt / 'venv' / 'lib')
    proven(place)


class Lmdb:
    """Just enough of liblmdb to write through its shared mapping (MDB_WRITEMAP) and read back."""

    WRITEMAP, CREATE = 0x80000, 0x40000

    class Value(ctypes.Structure):
        _fields_ = [('size', ctypes.c_size_t), ('data', ctypes.c_void_p)]

    def __init__(self, folder):
        self.lib = ctypes.CDLL('liblmdb.so.0')
        self.environment = ctypes.c_void_p()
        self.call('env_create', ctypes.byref(self.environment))
        self.call('env_set_mapsize', self.environment, ctypes.c_size_t(64 << 20))
        self.call('env_open', self.environment, os.fsencode(folder), self.WRITEMAP, 0o644)

    def call(self, name, *arguments):
        result = getattr(self.lib, f'mdb_{name}')(*arguments)
        if result:
            raise Failed(f'mdb_{name}: error {result}')

    def put_all(self, pairs):
        transaction, handle = ctypes.c_void_p(), ctypes.c_uint()
        self.call('txn_begin', self.environment, None, 0, ctypes.byref(transaction))
        self.call('dbi_open', transaction, None, self.CREATE, ctypes.byref(handle))
        for key, value in pairs:
            k, v = (self.Value(len(b), ctypes.cast(ctypes.c_char_p(b), ctypes.c_void_p)) for b in (key, value))
            self.call('put', transaction, handle, ctypes.byref(k), ctypes.byref(v), 0)
        self.call('txn_commit', transaction)

    def close(self):
        self.lib.mdb_env_close(self.environment)


def lmdb_writes_through_its_mapping(place):
    mnt, disk = mounted(place)
    chance = random.Random(5)
    pairs = {b'k%06d' % chance.randrange(10 ** 6): chance.randbytes(chance.randrange(1, 2000)) for _ in range(5000)}
    dumps = []
    for top in disk, mnt:
        (top / 'db').mkdir()
        lmdb = Lmdb(top / 'db')
        items = list(pairs.items())
        for start in range(0, len(items), 500):
            lmdb.put_all(items[start:start + 500])
        lmdb.close()
        dumps.append(run('mdb_dump', '-a', top / 'db').stdout)
    assert dumps[0] == dumps[1]
    place.kill(signal.SIGKILL)
    place.mount()
    assert run('mdb_dump', '-a', mnt / 'db').stdout == dumps[0]
    proven(place)


def fio_verifies_what_it_wrote(place):
    mnt, _ = mounted(place)
    common = ['--verify=crc32c', '--verify_fatal=1', '--do_verify=1', '--randseed=7', '--group_reporting', '--minimal',
              f'--directory={mnt}', '--size=24M']
    for number, words in enumerate([
            ['--ioengine=psync', '--rw=randwrite', '--bs=512-64k', '--numjobs=2'],
            ['--ioengine=mmap', '--rw=randwrite', '--bs=4k'],
            ['--ioengine=libaio', '--direct=1', '--iodepth=8', '--rw=randrw', '--bs=4k'],
            ['--ioengine=psync', '--rw=write', '--bs=1m', '--fsync=4'],
            ['--ioengine=psync', '--rw=randwrite', '--bs=4k', '--fallocate=keep', '--overwrite=1']]):
        # It leaves what it needs to verify later in the current folder.
        run('fio', f'--name=job{number}', *common, *words, cwd=place.top)
    proven(place)


# Of stress-ng's class those that a FUSE file system cannot have, or that test the kernel's own parts, stay out.
STRESS_NG = ['access', 'chdir', 'chmod', 'chown', 'copy-file', 'dentry', 'dir', 'dirdeep', 'dirmany', 'dup', 'fallocate',
             'fcntl', 'file-ioctl', 'filename', 'flock', 'fpunch', 'fstat', 'getdent', 'hdd', 'inotify', 'io', 'iomix', 'lease',
             'link', 'locka', 'lockf', 'lockofd', 'mknod', 'open', 'rename', 'seek', 'symlink', 'sync-file',
             'touch', 'utime', 'xattr']


def stress_ng_finds_nothing(place):
    mnt, _ = mounted(place)
    words = [word for name in STRESS_NG for word in (f'--{name}', '2', f'--{name}-ops', '300')]
    done = run('stress-ng', '--temp-path', mnt, '--verify', '--timeout', '20', *words,
               code=None)
    if done.returncode != 0:
        raise Failed(f'stress-ng: exit code {done.returncode}\n{done.stdout}{done.stderr}')
    proven(place)


def dbench_runs_its_script(place):
    mnt, _ = mounted(place)
    # The first semaphore since boot has the number 0, which dbench takes for a failure: not for it, then.
    run('ipcrm', '-s', run('ipcmk', '-S', '1').stdout.split()[-1])
    done = run('dbench', '-t', '8', '-D', mnt, '4')
    assert 'Throughput' in done.stdout, done.stdout
    assert 'ERROR' not in done.stdout and 'failed' not in done.stdout, done.stdout
    proven(place)


if __name__ == '__main__':
    sys.exit(support.main([
        git_clones_collects_and_checks,
        sqlite_survives_kills_in_both_journals,
        postgresql_initdb_pgbench_restart_amcheck,
        rsync_both_ways_and_again,
        tar_keeps_holes_attributes_and_lists,
        cp_and_find_see_the_same,
        a_build_inside_makes_a_program_that_works,
        unzip_and_zip_agree,
        a_python_venv_works,
        lmdb_writes_through_its_mapping,
        fio_verifies_what_it_wrote,
        stress_ng_finds_nothing,
        dbench_runs_its_script,
    ]))
