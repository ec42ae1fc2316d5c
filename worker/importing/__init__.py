"""The story of a job: plan, deliver, sweep, finish, retry. Read in that order."""
