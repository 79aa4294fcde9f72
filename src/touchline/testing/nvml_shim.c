/* A stand-in for libnvidia-ml.so.1: NVML's functions, answered from the scenario; nvml.py says how to use it.
 *
 * A figure that the scenario does not give is one that the device does not support.
 */
#include "nvml_shim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CLOCK_MEMORY = 2 };

typedef struct { u64 total, free, used; } memory_t;
typedef struct { unsigned int version; u64 total, reserved, free, used; } memory_v2_t;
typedef struct { unsigned int gpu, memory; } utilization_t;
typedef struct { unsigned int version, sensor; int temperature; } temperature_t;
typedef struct { unsigned int pid; u64 memory; unsigned int gpu_instance, compute_instance; } process_t;

device_t nvml_gpus[GPUS];
static device_t migs[GPUS][MIGS];

static int of_section(const char *section, const char *function)
{
    const char *const names[] = {function, "*"};
    char key[96], word[TEXT];
    for (int i = 0; i < 2; i++) {
        snprintf(key, sizeof key, "hang %s", names[i]);
        if (scenario_window(section, key, scenario_now(), word, sizeof word))
            usleep((useconds_t)(1e6 * atof(word)));
        snprintf(key, sizeof key, "fault %s", names[i]);
        if (scenario_window(section, key, scenario_now(), word, sizeof word))
            return scenario_code(word);
    }
    return SUCCESS;
}

int nvml_enter(const device_t *device, const char *function)
{
    char word[TEXT];
    int code;
    if (!scenario_load())
        return UNKNOWN;
    if ((code = of_section("driver", function)) || !device)
        return code;
    if (scenario_window(nvml_gpus[device->gpu].section, "lost", scenario_now(), word, sizeof word))
        return GPU_IS_LOST;
    return of_section(device->section, function);
}

static int figure(const device_t *device, const char *function, const char *key, double factor, double *into)
{
    int code = nvml_enter(device, function);
    if (code)
        return code;
    if (!scenario_figure(device->section, key, scenario_now(), into))
        return NOT_SUPPORTED;
    *into *= factor;
    return SUCCESS;
}

static int whole(const device_t *device, const char *function, const char *key, double factor, unsigned int *into)
{
    double found = 0;
    int code = figure(device, function, key, factor, &found);
    *into = (unsigned int)(found + 0.5);
    return code;
}

static int text(const char *section, const char *key, const char *otherwise, char *into, unsigned int size)
{
    if (!scenario_text(section, key, into, size))
        snprintf(into, size, "%s", otherwise);
    return SUCCESS;
}

int nvmlInitWithFlags(unsigned int flags) { (void)flags; return nvml_enter(NULL, "nvmlInit"); }
int nvmlInit_v2(void) { return nvml_enter(NULL, "nvmlInit"); }
int nvmlShutdown(void) { return SUCCESS; }

const char *nvmlErrorString(int code)
{
    return code ? "an error of the stand-in" : "Success";
}

int nvmlSystemGetDriverVersion(char *into, unsigned int size)
{
    int code = nvml_enter(NULL, "nvmlSystemGetDriverVersion");
    return code ? code : text("driver", "version", "570.0-stand-in", into, size);
}

int nvmlSystemGetNVMLVersion(char *into, unsigned int size)
{
    int code = nvml_enter(NULL, "nvmlSystemGetNVMLVersion");
    return code ? code : text("driver", "version", "12.570.0-stand-in", into, size);
}

int nvmlSystemGetCudaDriverVersion_v2(int *version)
{
    double found = 12080;
    int code = nvml_enter(NULL, "nvmlSystemGetCudaDriverVersion");
    scenario_figure("driver", "cuda", scenario_now(), &found);
    *version = (int)found;
    return code;
}

int nvmlSystemGetCudaDriverVersion(int *version) { return nvmlSystemGetCudaDriverVersion_v2(version); }

int nvmlDeviceGetCount_v2(unsigned int *count)
{
    int code = nvml_enter(NULL, "nvmlDeviceGetCount");
    char section[24];
    for (*count = 0; *count < GPUS; ++*count) {
        snprintf(section, sizeof section, "gpu %u", *count);
        if (!scenario_has_section(section))
            break;
    }
    return code;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, device_t **device)
{
    unsigned int count = 0;
    int code = nvmlDeviceGetCount_v2(&count);
    if (code || index >= count)
        return code ? code : INVALID_ARGUMENT;
    *device = &nvml_gpus[index];
    (*device)->gpu = (int)index;
    (*device)->mig = -1;
    snprintf((*device)->section, sizeof (*device)->section, "gpu %u", index);
    return nvml_enter(*device, "nvmlDeviceGetHandleByIndex");
}

int nvmlDeviceGetMigDeviceHandleByIndex(device_t *gpu, unsigned int index, device_t **device)
{
    char section[24];
    snprintf(section, sizeof section, "mig %d.%u", gpu->gpu, index);
    if (index >= MIGS || !scenario_has_section(section))
        return NOT_FOUND;
    *device = &migs[gpu->gpu][index];
    (*device)->gpu = gpu->gpu;
    (*device)->mig = (int)index;
    snprintf((*device)->section, sizeof (*device)->section, "%s", section);
    return nvml_enter(*device, "nvmlDeviceGetMigDeviceHandleByIndex");
}

int nvmlDeviceGetMigMode(device_t *device, unsigned int *current, unsigned int *pending)
{
    char section[24];
    int code = nvml_enter(device, "nvmlDeviceGetMigMode");
    snprintf(section, sizeof section, "mig %d.0", device->gpu);
    *current = *pending = (unsigned int)scenario_has_section(section);
    return code ? code : *current ? SUCCESS : NOT_SUPPORTED;
}

int nvmlDeviceGetMaxMigDeviceCount(device_t *device, unsigned int *count)
{
    unsigned int pending;
    int code = nvmlDeviceGetMigMode(device, count, &pending);
    *count = *count ? MIGS : 0;
    return code == NOT_SUPPORTED ? SUCCESS : code;
}

int nvmlDeviceIsMigDeviceHandle(device_t *device, unsigned int *is_mig)
{
    *is_mig = device->mig >= 0;
    return SUCCESS;
}

int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(device_t *mig, device_t **gpu)
{
    *gpu = &nvml_gpus[mig->gpu];
    return mig->mig >= 0 ? SUCCESS : INVALID_ARGUMENT;
}

int nvmlDeviceGetGpuInstanceId(device_t *device, unsigned int *id)
{
    return device->mig < 0 ? NOT_SUPPORTED : whole(device, "nvmlDeviceGetGpuInstanceId", "instance", 1, id);
}

int nvmlDeviceGetIndex(device_t *device, unsigned int *index)
{
    *index = (unsigned int)(device->mig < 0 ? device->gpu : device->mig);
    return nvml_enter(device, "nvmlDeviceGetIndex");
}

int nvmlDeviceGetName(device_t *device, char *into, unsigned int size)
{
    int code = nvml_enter(device, "nvmlDeviceGetName");
    return code ? code : text(device->section, "name", "NVIDIA Stand-In", into, size);
}

int nvmlDeviceGetUUID(device_t *device, char *into, unsigned int size)
{
    char otherwise[64];
    int code = nvml_enter(device, "nvmlDeviceGetUUID");
    snprintf(otherwise, sizeof otherwise, "%s-%08d-0000-0000-0000-%012d", device->mig < 0 ? "GPU" : "MIG",
             device->gpu, device->mig < 0 ? 0 : device->mig);
    return code ? code : text(device->section, "uuid", otherwise, into, size);
}

int nvmlDeviceGetUtilizationRates(device_t *device, utilization_t *rates)
{
    rates->memory = 0;
    return whole(device, "nvmlDeviceGetUtilizationRates", "utilization", 1, &rates->gpu);
}

static int memory(const device_t *device, memory_v2_t *into)
{
    double total = 0, used = 0, reserved = 0;
    int code = figure(device, "nvmlDeviceGetMemoryInfo", "memory_total", 1, &total);
    scenario_figure(device->section, "memory_used", scenario_now(), &used);
    scenario_figure(device->section, "memory_reserved", scenario_now(), &reserved);
    into->total = (u64)total;
    into->used = (u64)used;
    into->reserved = (u64)reserved;
    into->free = total > used + reserved ? (u64)(total - used - reserved) : 0;
    return code;
}

int nvmlDeviceGetMemoryInfo_v2(device_t *device, memory_v2_t *into) { return memory(device, into); }

int nvmlDeviceGetMemoryInfo(device_t *device, memory_t *into)
{
    memory_v2_t found;
    int code = memory(device, &found);
    *into = (memory_t){found.total, found.free, found.total - found.free};
    return code;
}

int nvmlDeviceGetTemperatureV(device_t *device, temperature_t *temperature)
{
    double found = 0;
    int code = figure(device, "nvmlDeviceGetTemperatureV", "temperature", 1, &found);
    temperature->temperature = (int)(found + 0.5);
    return code;
}

int nvmlDeviceGetTemperature(device_t *device, int sensor, unsigned int *temperature)
{
    (void)sensor;
    return whole(device, "nvmlDeviceGetTemperature", "temperature", 1, temperature);
}

int nvmlDeviceGetPowerUsage(device_t *device, unsigned int *milliwatts)
{
    return whole(device, "nvmlDeviceGetPowerUsage", "power", 1e3, milliwatts);
}

int nvmlDeviceGetEnforcedPowerLimit(device_t *device, unsigned int *milliwatts)
{
    return whole(device, "nvmlDeviceGetEnforcedPowerLimit", "power_limit", 1e3, milliwatts);
}

int nvmlDeviceGetPowerManagementLimit(device_t *device, unsigned int *milliwatts)
{
    return whole(device, "nvmlDeviceGetPowerManagementLimit", "power_limit", 1e3, milliwatts);
}

int nvmlDeviceGetClockInfo(device_t *device, int clock, unsigned int *megahertz)
{
    return whole(device, "nvmlDeviceGetClockInfo", clock == CLOCK_MEMORY ? "clock_memory" : "clock_sm", 1, megahertz);
}

int nvmlDeviceGetMaxClockInfo(device_t *device, int clock, unsigned int *megahertz)
{
    const char *key = clock == CLOCK_MEMORY ? "clock_memory_max" : "clock_sm_max";
    return whole(device, "nvmlDeviceGetMaxClockInfo", key, 1, megahertz);
}

/* "4321:3e9, 4400:1e9", process and bytes. */
int nvmlDeviceGetComputeRunningProcesses_v3(device_t *device, unsigned int *count, process_t *into)
{
    char list[1024] = "", *rest = NULL;
    int code = nvml_enter(device, "nvmlDeviceGetComputeRunningProcesses");
    unsigned int room = *count, n = 0;
    scenario_text(device->section, "processes", list, sizeof list);
    for (char *part = strtok_r(list, ",", &rest); part; part = strtok_r(NULL, ",", &rest), n++) {
        const char *colon = strchr(part, ':');
        if (n < room)
            into[n] = (process_t){(unsigned int)atoi(part), colon ? (u64)atof(colon + 1) : 0, ~0u, ~0u};
    }
    *count = n;
    return code ? code : n > room ? INSUFFICIENT_SIZE : SUCCESS;
}

int nvmlDeviceGetGraphicsRunningProcesses_v3(device_t *device, unsigned int *count, process_t *into)
{
    (void)into;
    *count = 0;
    return nvml_enter(device, "nvmlDeviceGetGraphicsRunningProcesses");
}
