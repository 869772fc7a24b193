#include "base/parallel.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

typedef struct Job {
    size_t count;
    ParallelFunction function;
    void *context;
    atomic_size_t next;
    atomic_bool failed;
    pthread_mutex_t lock; /* guards error */
    Error *error;
} Job;

typedef struct Worker {
    Job *job;
    unsigned number;
} Worker;

unsigned parallel_workers(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    int count = CPU_COUNT(&set);
    return count < 1 ? 1 : count > PARALLEL_WORKERS_MAX ? PARALLEL_WORKERS_MAX : (unsigned)count;
}

static void *work(void *argument) {
    Worker *worker = argument;
    Job *job = worker->job;
    while (!atomic_load(&job->failed)) {
        size_t index = atomic_fetch_add(&job->next, 1);
        if (index >= job->count) break;
        Error error = {0};
        if (job->function(index, worker->number, job->context, &error) == 0) continue;
        pthread_mutex_lock(&job->lock);
        if (!atomic_exchange(&job->failed, true) && job->error) *job->error = error;
        pthread_mutex_unlock(&job->lock);
    }
    return NULL;
}

int parallel_for(size_t count, unsigned workers, ParallelFunction function, void *context, Error *error) {
    Job job = {.count = count, .function = function, .context = context, .error = error};
    pthread_mutex_init(&job.lock, NULL);
    if (workers > PARALLEL_WORKERS_MAX) workers = PARALLEL_WORKERS_MAX;
    if (workers > count) workers = (unsigned)count;
    pthread_t threads[PARALLEL_WORKERS_MAX];
    Worker rooms[PARALLEL_WORKERS_MAX];
    unsigned started = 0;
    for (unsigned i = 1; i < workers; i++) {
        rooms[i] = (Worker){&job, i};
        if (pthread_create(&threads[started], NULL, work, &rooms[i]) != 0) break; /* fewer hands, same work */
        started++;
    }
    rooms[0] = (Worker){&job, 0};
    work(&rooms[0]);
    for (unsigned i = 0; i < started; i++) pthread_join(threads[i], NULL);
    pthread_mutex_destroy(&job.lock);
    return atomic_load(&job.failed) ? -1 : 0;
}
