"""What the loads work on, made once: an archive of a source tree, and a git repository with a history."""
import glob
import os
import subprocess
from pathlib import Path

from places import run

TREES = ['/usr/include', '/usr/share/doc', *sorted(glob.glob('/usr/lib/python3*'))]
COMMITS = 12


class Material:
    """The files, and how many bytes and names are in the tree."""

    def __init__(self, folder, trees):
        self.archive = Path(folder) / 'tree.tar'
        self.repository = Path(folder) / 'repository.git'
        self.tree = Path(folder) / 'tree'
        self.tree.mkdir(parents=True)
        for tree in trees or TREES:
            if os.path.isdir(tree):
                run('rsync', '-aR', tree, self.tree)
        run('tar', '-C', self.tree, '-cf', self.archive, '.')
        files = [path for path in self.tree.rglob('*') if path.is_file() and not path.is_symlink()]
        self.names = sum(1 for _ in self.tree.rglob('*'))
        self.bytes = sum(path.stat().st_size for path in files)
        self.make_repository(sorted(files))

    def make_repository(self, files):
        """Each commit changes one file in thirty."""
        work = self.tree.parent / 'work'
        git = ['git', '-C', work, '-c', 'user.name=bench', '-c', 'user.email=bench@example.org']
        run('cp', '-a', self.tree, work)
        run('git', 'init', '-q', work)
        for commit in range(COMMITS):
            for path in files[commit::30]:
                copy = work / path.relative_to(self.tree)
                os.chmod(copy, 0o644)
                with open(copy, 'ab') as file:
                    file.write(b'line of commit %d\n' % commit)
            run(*git, 'add', '-A', '-f')
            run(*git, 'commit', '-q', '-m', f'commit {commit}')
        run('git', 'clone', '-q', '--bare', work, self.repository, stderr=subprocess.DEVNULL)
        run('rm', '-rf', work)
