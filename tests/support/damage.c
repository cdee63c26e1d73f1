#include "support/damage.h"

#include "engine/assert.h"
#include "engine/auto.h"
#include "engine/coding.h"

#define RUN_BYTES_MAX 64u
#define FLIPS_MAX 8u

/* Mostly short: long ones only say "all is different". */
static size_t run_bytes(struct random *random, size_t most)
{
    size_t bytes = 1 + random_below(random, random_below(random, 4) ? 8 : RUN_BYTES_MAX);

    return bytes < most ? bytes : most;
}

static size_t place(struct random *random, size_t size)
{
    return size ? (size_t)(random_next(random) % size) : 0;
}

/* Lengths and counts as no writer writes them, and what lies at the ends of types. */
static void put_number(struct random *random, uint8_t *to, size_t room)
{
    static const uint64_t numbers[] = {0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff,
        0x80000000, 0xffffffff, 0x7fffffffffffffff, 0x8000000000000000, UINT64_MAX};
    uint64_t number = numbers[random_below(random, ARRAY_COUNT(numbers))];
    uint8_t bytes[8];
    size_t width = 1u << random_below(random, 4);

    if (random_below(random, 2))
        store_be64(bytes, number << (8 - width) * 8);
    else
        store_le64(bytes, number);
    memcpy(to, bytes, width < room ? width : room);
}

static void fill(struct random *random, uint8_t *to, size_t size)
{
    unsigned how = random_below(random, 4);

    for (size_t i = 0; i < size; i++)
        to[i] = how == 0 ? 0 : how == 1 ? 0xff : (uint8_t)random_next(random);
}

void damage_in_place(struct random *random, uint8_t *content, size_t size)
{
    size_t at = place(random, size);

    if (size == 0)
        return;
    switch (random_below(random, 3)) {
    case 0:
        for (unsigned n = 1 + random_below(random, FLIPS_MAX); n > 0; n--)
            content[place(random, size)] ^= (uint8_t)(1u << random_below(random, 8));
        break;
    case 1:
        fill(random, content + at, run_bytes(random, size - at));
        break;
    default:
        put_number(random, content + at, size - at);
    }
}

/* `size` bytes more at `at`, to be written by the caller. */
static uint8_t *open_gap(struct buf *content, size_t at, size_t size)
{
    uint8_t *end = buf_extend(content, size);

    ASSERT(end);
    memmove(content->data + at + size, content->data + at, content->size - size - at);
    return content->data + at;
}

static void cut_out(struct buf *content, size_t at, size_t size)
{
    memmove(content->data + at, content->data + at + size, content->size - at - size);
    content->size -= size;
}

/* A run of `from` over, or between, what is there. */
static void splice(struct random *random, struct buf *content, struct bytes from)
{
    uint8_t run[RUN_BYTES_MAX];
    size_t from_at = place(random, from.size), at = place(random, content->size);
    size_t size = run_bytes(random, from.size - from_at);

    if (size == 0)
        return;
    memcpy(run, from.data + from_at, size);
    if (random_below(random, 2))
        memcpy(open_gap(content, at, size), run, size);
    else
        memcpy(content->data + at, run, size < content->size - at ? size : content->size - at);
}

static void swap(struct random *random, struct buf *content)
{
    size_t a = place(random, content->size), b = place(random, content->size);
    size_t low = a < b ? a : b, high = a < b ? b : a;
    size_t size = run_bytes(random, content->size - high);

    for (size_t i = 0; i < size && low + size <= high; i++) {
        uint8_t byte = content->data[low + i];

        content->data[low + i] = content->data[high + i];
        content->data[high + i] = byte;
    }
}

void damage_bytes(struct random *random, struct buf *content, struct bytes donor)
{
    size_t at = place(random, content->size), size = run_bytes(random, content->size - at);

    if (content->size == 0) {
        size = run_bytes(random, RUN_BYTES_MAX);
        fill(random, open_gap(content, 0, size), size);
        return;
    }
    switch (random_below(random, 10)) {
    case 0:
        fill(random, open_gap(content, at, size), size);
        break;
    case 1:
        cut_out(content, at, size);
        break;
    case 2:
        splice(random, content, buf_bytes(content));
        break;
    case 3:
        splice(random, content, donor);
        break;
    case 4:
        swap(random, content);
        break;
    case 5:
        content->size = at;
        break;
    default:
        damage_in_place(random, content->data, content->size);
    }
}
