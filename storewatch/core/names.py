"""Names that more than one part reads. A name is changed here or nowhere."""

# Measurements of load and proof evidence (design.md, "Evidence").
P50_S = "p50_s"
P95_S = "p95_s"
P99_S = "p99_s"
ERROR_RATIO = "error_ratio"
REQUESTS = "requests"
ARRIVALS_MISSED = "arrivals_missed"
GENERATOR_CPU_RATIO = "generator_cpu_ratio"
ORDERS_ACKNOWLEDGED = "orders_acknowledged"
ORDERS_LOST = "orders_lost"
ORDERS_DUPLICATED = "orders_duplicated"
DOUBLE_CHARGES = "double_charges"
OVERSOLD_UNITS = "oversold_units"

# Measurements of drill evidence.
RECOVERY_TIME_S = "recovery_time_s"
RECOVERY_POINT_S = "recovery_point_s"
BYTES = "bytes"
ROWS_VERIFIED = "rows_verified"

# Measurements of proof evidence.
TIME_TO_DETECT_S = "time_to_detect_s"
TIME_TO_RECOVER_S = "time_to_recover_s"
TIME_TO_REDUNDANCY_S = "time_to_redundancy_s"

# Environment of every process that storewatch starts.
HOME_VARIABLE = "STOREWATCH_HOME"
CONFIG_VARIABLE = "STOREWATCH_CONFIG"
