"""Everything long, as a job: create its folder, launch its worker process, run it."""
