/* A stand-in for libnvidia-ml.so.1: answers what the file named by TOUCHLINE_NVML_SCENARIO says now.
 *
 * One "key value" a line, read anew at each call: init_error, count, hang_ms (of utilisation), and of device N:
 * N.utilization (percent), N.total and N.free (bytes), N.temperature (deg C), N.power (mW), each with N.<key>_error
 * for NVML's error code (N.memory_error for both memory keys). What is not there is 0, which is success.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, DEVICES = 16 };

typedef struct { int index; } device_t;
typedef struct { unsigned long long total, free, used; } memory_t;
typedef struct { unsigned int gpu, memory; } utilization_t;
typedef struct { unsigned int version, sensor; int temperature; } temperature_t;

static device_t devices[DEVICES];

static long long look(const char *key)
{
    const char *path = getenv("TOUCHLINE_NVML_SCENARIO");
    FILE *file = path ? fopen(path, "r") : NULL;
    char name[64];
    long long value, found = 0;
    if (!file)
        return 0;
    while (fscanf(file, "%63s %lld", name, &value) == 2)
        if (!strcmp(name, key))
            found = value;
    fclose(file);
    return found;
}

static long long of(const device_t *device, const char *key)
{
    char name[64];
    snprintf(name, sizeof name, "%d.%s", device->index, key);
    return look(name);
}

int nvmlInitWithFlags(unsigned int flags) { (void)flags; return (int)look("init_error"); }
int nvmlInit_v2(void) { return (int)look("init_error"); }
int nvmlShutdown(void) { return SUCCESS; }

const char *nvmlErrorString(int code)
{
    static char text[32];
    snprintf(text, sizeof text, "error %d", code);
    return text;
}

int nvmlSystemGetDriverVersion(char *text, unsigned int length)
{
    snprintf(text, length, "000.00-stand-in");
    return SUCCESS;
}

int nvmlDeviceGetCount_v2(unsigned int *count)
{
    *count = (unsigned int)look("count");
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, device_t **device)
{
    if (index >= DEVICES || index >= look("count"))
        return INVALID_ARGUMENT;
    devices[index].index = (int)index;
    *device = &devices[index];
    return SUCCESS;
}

int nvmlDeviceGetName(device_t *device, char *text, unsigned int length)
{
    (void)device;
    snprintf(text, length, "NVIDIA Stand-In");
    return SUCCESS;
}

int nvmlDeviceGetUUID(device_t *device, char *text, unsigned int length)
{
    snprintf(text, length, "GPU-%08d-0000-0000-0000-000000000000", device->index);
    return SUCCESS;
}

int nvmlDeviceGetUtilizationRates(device_t *device, utilization_t *rates)
{
    usleep((useconds_t)(1000 * look("hang_ms")));
    rates->gpu = (unsigned int)of(device, "utilization");
    rates->memory = 0;
    return (int)of(device, "utilization_error");
}

int nvmlDeviceGetMemoryInfo(device_t *device, memory_t *memory)
{
    memory->total = (unsigned long long)of(device, "total");
    memory->free = (unsigned long long)of(device, "free");
    memory->used = 0; /* what the driver reserves is missing from it, so nobody should read it */
    return (int)of(device, "memory_error");
}

int nvmlDeviceGetTemperatureV(device_t *device, temperature_t *temperature)
{
    temperature->temperature = (int)of(device, "temperature");
    return (int)of(device, "temperature_error");
}

int nvmlDeviceGetPowerUsage(device_t *device, unsigned int *milliwatts)
{
    *milliwatts = (unsigned int)of(device, "power");
    return (int)of(device, "power_error");
}
