# Rules for conftest over a plan of armfleet: what may be applied, and when. Copy them, and write your own beside them.
#
#   armfleet plan --format json | conftest test --policy examples/policy -
#
# They read armfleet-plan/1, of which README says what stays as it is.
package main

import rego.v1

# No plan stops the running VMs of these pools: the beginnings of their names.
protected_pools := {"obs-"}

# Whose Friday it is.
time_zone := "Europe/Berlin"

# What another format holds, these rules would not understand, and allow.
deny contains "this is not armfleet-plan/1; armfleet plan --format json writes it" if {
	not is_plan
}

is_plan if input.format == "armfleet-plan/1"

# An incomplete plan may interrupt more than it says.
deny contains "the plan is incomplete: resolve its unknowns, then plan again" if {
	input.complete == false
}

deny contains message if {
	time.weekday([time.now_ns(), time_zone]) == "Friday"
	some step in input.steps
	step.kind == "domain"
	step.action == "remove"
	message := sprintf("%s: no VM is removed on a Friday; apply this plan on another day", [step.vm])
}

deny contains message if {
	some interruption in input.interruptions
	some pool in protected_pools
	startswith(interruption.vm, pool)
	message := sprintf(
		"%s would be %s, and the pool %s* is protected; to avoid it, %s",
		[interruption.vm, interruption.fate, pool, interruption.avoid],
	)
}
