/*
 * A worker that has answered looks for the next request for some microseconds before it sleeps.
 *
 * A program that goes from one call to the next has its next request here sooner than a thread
 * falls asleep and a processor comes back from idling for it: that waking is much of what a short
 * call costs, above all on a virtual machine.
 */
#ifndef SSTFS_FUSE_LINGER_H
#define SSTFS_FUSE_LINGER_H

#include <stdbool.h>

/**
 * Whether something is there to read; false after some 30 us without, or at once: if another thread
 * lingers, if the calls before were in vain, or with one processor.
 */
bool linger(int fd);

#endif
