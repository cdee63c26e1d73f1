#include "base/crc32.h"

#include <isa-l/crc.h>

uint32_t crc32_update(uint32_t crc, const void *data, size_t size)
{
    return crc32_gzip_refl(crc, data, size);
}
