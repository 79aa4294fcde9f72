/* What the files of the stand-in driver share: devices, error codes, and the first thing each function does. */
#ifndef TOUCHLINE_NVML_SHIM_H
#define TOUCHLINE_NVML_SHIM_H

#include "nvml_scenario.h"

enum {
    SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, TIMEOUT = 10,
    GPU_IS_LOST = 15, UNKNOWN = 999
};
enum { GPUS = 16, MIGS = 8, TEXT = 128 };

typedef unsigned long long u64;

/* A GPU, or with ``mig`` ≥ 0 a MIG device of it. */
typedef struct { char section[24]; int gpu, mig; } device_t;

extern device_t nvml_gpus[GPUS];

/* Hangs and fails as the scenario says of the function; ``device`` is NULL for what concerns the driver alone. */
int nvml_enter(const device_t *device, const char *function);

#endif
