/* CheckTls: the `tls` row of the preflight checks (check.h). */
#pragma once
#include "host/check/check.h"

void check_tls_run(const PlanTls *plan, const CheckContext *context, Observation *out);
