#include "writers.h"

#include "ranks.h"

void writers_init(struct writers *writers)
{
    *writers = (struct writers){.epoch = 1};
    mutex_init(&writers->mutex, RANK_WRITERS);
}

void writers_release(struct writers *writers)
{
    mutex_release(&writers->mutex);
}

void writers_enter(struct writers *writers, struct writer *writer)
{
    mutex_lock(&writers->mutex);
    writer->epoch = writers->epoch;
    writer->next = NULL;
    writer->previous = writers->newest;
    if (writers->newest)
        writers->newest->next = writer;
    else
        writers->oldest = writer;
    writers->newest = writer;
    mutex_unlock(&writers->mutex);
}

bool writers_leave(struct writers *writers, struct writer *writer)
{
    bool ended = false;

    mutex_lock(&writers->mutex);
    if (writer->previous)
        writer->previous->next = writer->next;
    else
        writers->oldest = writer->next;
    if (writer->next)
        writer->next->previous = writer->previous;
    else
        writers->newest = writer->previous;
    if (writers->awaited && (!writers->oldest || writers->oldest->epoch > writer->epoch)) {
        writers->awaited = false;
        ended = true;
    }
    mutex_unlock(&writers->mutex);
    return ended;
}

uint64_t writers_end_epoch(struct writers *writers)
{
    uint64_t ended;

    mutex_lock(&writers->mutex);
    ended = writers->epoch++;
    mutex_unlock(&writers->mutex);
    return ended;
}

uint64_t writers_epoch(struct writers *writers)
{
    uint64_t epoch;

    mutex_lock(&writers->mutex);
    epoch = writers->epoch;
    mutex_unlock(&writers->mutex);
    return epoch;
}

bool writers_left(struct writers *writers, uint64_t epoch)
{
    bool left;

    mutex_lock(&writers->mutex);
    left = !writers->oldest || writers->oldest->epoch > epoch;
    if (!left)
        writers->awaited = true;
    mutex_unlock(&writers->mutex);
    return left;
}
