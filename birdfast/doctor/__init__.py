"""Look before training, and after a run that did not learn."""

from birdfast.doctor.diagnose import diagnose as diagnose
from birdfast.doctor.findings import Finding as Finding
from birdfast.doctor.findings import Report as Report
from birdfast.doctor.run import is_run as is_run
from birdfast.doctor.source import examine as examine
