/* The stand-in's figures with a memory: energy, clocks' reasons, GPM samples, and XID errors as events. */
#include "nvml_shim.h"

#include <stdio.h>
#include <stdlib.h>

enum { SM_UTIL = 2, XID_EVENT = 8 };

typedef struct { unsigned int version, is_supported; } gpm_support_t;
typedef struct { char section[24]; double at; } gpm_sample_t;
typedef struct { unsigned int id; int result; double value; const char *names[3]; } gpm_metric_t;
typedef struct { unsigned int version, count; gpm_sample_t *before, *after; gpm_metric_t metrics[]; } gpm_metrics_t;
typedef struct { device_t *device; u64 type, data; unsigned int gpu_instance, compute_instance; } event_t;
typedef struct { int is_registered[GPUS]; int told[GPUS]; } event_set_t;

int nvmlDeviceGetCurrentClocksEventReasons(device_t *device, u64 *reasons)
{
    static const struct { const char *key; u64 bit; } KINDS[] = {
        {"throttle idle", 0x1}, {"throttle power", 0x4}, {"throttle hardware", 0x8}, {"throttle thermal", 0x20}};
    char word[TEXT];
    int code = nvml_enter(device, "nvmlDeviceGetCurrentClocksEventReasons");
    *reasons = 0;
    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++)
        if (scenario_window(device->section, KINDS[i].key, scenario_now(), word, sizeof word))
            *reasons |= KINDS[i].bit;
    return code ? code : device->mig < 0 ? SUCCESS : NOT_SUPPORTED;
}

int nvmlDeviceGetTotalEnergyConsumption(device_t *device, u64 *millijoules)
{
    double joules = 0;
    int code = nvml_enter(device, "nvmlDeviceGetTotalEnergyConsumption");
    int is_known = scenario_figure(device->section, "energy", scenario_now(), &joules) ||
                   scenario_integral(device->section, "power", 0, scenario_now(), &joules);
    *millijoules = (u64)(1e3 * joules);
    return code ? code : is_known ? SUCCESS : NOT_SUPPORTED;
}

/* A GPU has GPM where it, or a MIG device of it, has a figure that only GPM tells. */
int nvmlGpmQueryDeviceSupport(device_t *device, gpm_support_t *support)
{
    double sm;
    char section[24];
    int is_found = scenario_figure(device->section, "sm", scenario_now(), &sm);
    for (int mig = 0; mig < MIGS && !is_found; mig++) {
        snprintf(section, sizeof section, "mig %d.%d", device->gpu, mig);
        is_found = scenario_figure(section, "sm", scenario_now(), &sm);
    }
    support->is_supported = (unsigned int)is_found;
    return nvml_enter(device, "nvmlGpmQueryDeviceSupport");
}

int nvmlGpmSampleAlloc(gpm_sample_t **sample)
{
    *sample = calloc(1, sizeof **sample);
    return *sample ? SUCCESS : UNKNOWN;
}

int nvmlGpmSampleFree(gpm_sample_t *sample)
{
    free(sample);
    return SUCCESS;
}

int nvmlGpmSampleGet(device_t *device, gpm_sample_t *sample)
{
    snprintf(sample->section, sizeof sample->section, "%s", device->section);
    sample->at = scenario_now();
    return nvml_enter(device, "nvmlGpmSampleGet");
}

int nvmlGpmMigSampleGet(device_t *gpu, unsigned int instance, gpm_sample_t *sample)
{
    double found;
    sample->at = scenario_now();
    for (int mig = 0; mig < MIGS; mig++) {
        snprintf(sample->section, sizeof sample->section, "mig %d.%d", gpu->gpu, mig);
        if (scenario_figure(sample->section, "instance", sample->at, &found) && (unsigned int)found == instance)
            return nvml_enter(gpu, "nvmlGpmMigSampleGet");
    }
    return NOT_FOUND;
}

/* The mean between the two samples, as the device counts. */
int nvmlGpmMetricsGet(gpm_metrics_t *asked)
{
    const gpm_sample_t *before = asked->before, *after = asked->after;
    double seconds = after->at - before->at;
    for (unsigned int i = 0; i < asked->count; i++) {
        gpm_metric_t *metric = &asked->metrics[i];
        int is_known = metric->id == SM_UTIL &&
                       scenario_integral(after->section, "sm", before->at, after->at, &metric->value);
        metric->result = !is_known ? NOT_SUPPORTED : seconds > 0 ? SUCCESS : INVALID_ARGUMENT;
        metric->value /= seconds > 0 ? seconds : 1;
    }
    return nvml_enter(NULL, "nvmlGpmMetricsGet");
}

int nvmlEventSetCreate(event_set_t **set)
{
    int code = nvml_enter(NULL, "nvmlEventSetCreate");
    *set = calloc(1, sizeof **set);
    return code;
}

int nvmlEventSetFree(event_set_t *set)
{
    free(set);
    return SUCCESS;
}

int nvmlDeviceGetSupportedEventTypes(device_t *device, u64 *types)
{
    *types = XID_EVENT;
    return nvml_enter(device, "nvmlDeviceGetSupportedEventTypes");
}

int nvmlDeviceRegisterEvents(device_t *device, u64 types, event_set_t *set)
{
    int code = nvml_enter(device, "nvmlDeviceRegisterEvents");
    set->is_registered[device->gpu] = code == SUCCESS && types & XID_EVENT;
    set->told[device->gpu] = scenario_events(device->section, "xid", scenario_now());
    return code;
}

int nvmlEventSetWait_v2(event_set_t *set, event_t *event, unsigned int timeout_ms)
{
    int code = nvml_enter(NULL, "nvmlEventSetWait");
    (void)timeout_ms;
    for (int gpu = 0; gpu < GPUS && !code; gpu++) {
        const char *section = nvml_gpus[gpu].section;
        if (set->is_registered[gpu] && set->told[gpu] < scenario_events(section, "xid", scenario_now())) {
            u64 xid = (u64)scenario_event(section, "xid", set->told[gpu]++);
            *event = (event_t){&nvml_gpus[gpu], XID_EVENT, xid, ~0u, ~0u};
            return SUCCESS;
        }
    }
    return code ? code : TIMEOUT;
}
