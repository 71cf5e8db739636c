package main

import (
	"fmt"

	"github.com/anishathalye/porcupine"
)

// How far a task is. A task only moves forward: absent, staging, starting, running, killing, ended in one way.
type taskState struct {
	step int
	end  string
}

const ended = 5

var steps = map[string]int{
	"TASK_STAGING": 1, "TASK_STARTING": 2, "TASK_RUNNING": 3, "TASK_KILLING": 4,
	"TASK_FINISHED": ended, "TASK_FAILED": ended, "TASK_KILLED": ended, "TASK_ERROR": ended,
}

// What a name says; false for those by which a master says that it lost the task out of sight, and for none.
func parse(name string) (taskState, bool) {
	step, ok := steps[name]
	if step == ended {
		return taskState{step: ended, end: name}, true
	}
	return taskState{step: step}, ok
}

type taskInput struct {
	// launch, report, read or seen.
	what string
	// The state that is reported, read or seen.
	state string
	// Nobody got the answer: perhaps it never happens.
	unknown bool
	// The framework or the agent of the task ended, or a master gave it up.
	mayVanish bool
	// The agent does not write: the task may have moved on before anything that was seen of it.
	silent bool
}

func taskSteps(state taskState, asked taskInput) []taskState {
	same := []taskState{state}
	allowed := func(possible bool) []taskState {
		if possible {
			return same
		}
		return nil
	}
	told, isState := parse(asked.state)
	switch asked.what {
	case "launch":
		if state.step == 0 {
			return []taskState{{}, {step: 1}}
		}
		return same
	case "report":
		switch {
		case state.step == ended, state.step == 0 && !asked.mayVanish:
			return allowed(state.step == ended)
		case told.step > state.step:
			return []taskState{told}
		default:
			return same
		}
	case "seen":
		if asked.silent && isState && state.step != 0 && state.step < told.step {
			return []taskState{told}
		}
		return allowed(!isState || state.step >= told.step)
	}
	switch {
	case asked.state == "":
		return allowed(state.step == 0 || state.step == ended || asked.mayVanish)
	case !isState:
		return allowed(state.step != 0)
	case asked.silent && state.step != 0 && state.step < told.step:
		return []taskState{told}
	case told.end == "TASK_KILLED" && state.step != 0 && state.step != ended:
		return []taskState{told}
	default:
		return allowed(told == state)
	}
}

var taskModel = (&porcupine.NondeterministicModel{
	Init: func() []interface{} { return []interface{}{taskState{}} },
	Step: func(state, input, _ interface{}) []interface{} {
		asked := input.(taskInput)
		var after []interface{}
		for _, next := range taskSteps(state.(taskState), asked) {
			after = append(after, next)
		}
		if asked.unknown {
			after = append(after, state)
		}
		return after
	},
	Equal: func(one, other interface{}) bool { return one == other },
	DescribeOperation: func(input, _ interface{}) string {
		asked := input.(taskInput)
		return fmt.Sprintf("%s %s", asked.what, asked.state)
	},
	DescribeState: func(state interface{}) string {
		now := state.(taskState)
		if now.end != "" {
			return now.end
		}
		return [...]string{"absent", "staging", "starting", "running", "killing"}[now.step]
	},
}).ToModel()

// What was done to each task, and what was seen of it.
func tasks(h *history) map[string][]porcupine.Operation {
	excuses := excusesOf(h)
	movesAlone := silent(h)
	type place struct{ agent, task string }
	received := map[place]int64{}
	for i := range h.sights {
		what := &h.sights[i].What
		if what.Sight == "launch_received" {
			at := place{what.Agent, what.Framework + "/" + what.Task}
			if _, known := received[at]; !known {
				received[at] = h.sights[i].At
			}
		}
	}
	clients := map[string]int{}
	found := map[string][]porcupine.Operation{}
	launched := map[string]bool{}
	observed := map[string]bool{}
	add := func(key, client string, line int, called, returned int64, input taskInput) {
		input.unknown = returned == never
		input.mayVanish = excuses.mayVanish(key)
		input.silent = movesAlone[key]
		launched[key] = launched[key] || input.what == "launch"
		observed[key] = observed[key] || input.what == "read" || input.what == "seen"
		found[key] = append(found[key], porcupine.Operation{
			ClientId: number(clients, client), Input: input, Call: called, Return: returned, Metadata: line,
		})
	}
	for i := range h.calls {
		call := &h.calls[i]
		asked := &call.Operation
		key := asked.Framework + "/" + asked.Task
		switch {
		case asked.Type == "launch" && !call.refused():
			for _, task := range asked.Tasks {
				add(asked.Framework+"/"+task, call.Client, call.number, call.Called, call.latest(), taskInput{what: "launch"})
			}
		case asked.Type == "report" && steps[asked.State] != 0:
			// The master may know as soon as the agent has the task: states travel with older updates too.
			called := received[place{asked.Agent, key}]
			if called > call.Called {
				called = call.Called
			}
			add(key, call.Client, call.number, called, call.latest(), taskInput{what: "report", state: asked.State})
		case asked.Type == "read_task" && call.acknowledged():
			add(key, call.Client, call.number, call.Called, call.latest(), taskInput{what: "read", state: call.Outcome.Value})
		}
	}
	for i := range h.sights {
		seen := &h.sights[i]
		if seen.What.Sight == "updated" && seen.What.UUID != "" {
			key := seen.What.Framework + "/" + seen.What.Task
			add(key, seen.Observer, seen.number, seen.At, seen.At, taskInput{what: "seen", state: seen.What.State})
		}
	}
	loosen(h, found)
	for key := range found {
		// Of a task that was launched before the history began, or that nobody looked at, there is nothing to say.
		if !launched[key] || !observed[key] {
			delete(found, key)
		}
	}
	return found
}

// A state that an agent had no time to report, because an earlier report was not acknowledged or somebody ended, may be
// known to the masters all the same: agents tell it when they register.
func loosen(h *history, found map[string][]porcupine.Operation) {
	reported := map[string]bool{}
	type report struct {
		called int64
		id     int
		open   bool
	}
	last := map[string]report{}
	for i := range h.calls {
		call := &h.calls[i]
		if call.Operation.Type != "report" {
			continue
		}
		key := call.Operation.Framework + "/" + call.Operation.Task
		reported[key+" "+call.Operation.State] = true
		this := report{call.Called, call.ID, !call.acknowledged()}
		known, ok := last[key]
		if !ok || this.called > known.called || this.called == known.called && this.id > known.id {
			last[key] = this
		}
	}
	for key, operations := range found {
		known, ok := last[key]
		for i := range operations {
			input := operations[i].Input.(taskInput)
			if (!ok || known.open || input.mayVanish) && !reported[key+" "+input.state] {
				input.silent = true
				operations[i].Input = input
			}
		}
	}
}

// Tasks on agents that do not write the history, as real ones do not.
func silent(h *history) map[string]bool {
	writes := map[string]bool{}
	for i := range h.sights {
		if h.sights[i].What.Sight == "launch_received" {
			writes[h.sights[i].What.Agent] = true
		}
	}
	for i := range h.calls {
		if h.calls[i].Operation.Type == "report" {
			writes[h.calls[i].Operation.Agent] = true
		}
	}
	found := map[string]bool{}
	for i := range h.calls {
		asked := &h.calls[i].Operation
		if asked.Type != "launch" || writes[asked.Agent] {
			continue
		}
		for _, task := range asked.Tasks {
			found[asked.Framework+"/"+task] = true
		}
	}
	return found
}

// Which tasks may be unknown at any time.
type excuses struct {
	frameworks map[string]bool
	tasks      map[string]bool
}

func (e excuses) mayVanish(key string) bool { return e.frameworks[kind(key)] || e.tasks[key] }

func excusesOf(h *history) excuses {
	e := excuses{frameworks: map[string]bool{}, tasks: map[string]bool{}}
	agents := map[string]bool{}
	ids := map[string]string{}
	last := map[string]bool{}
	for i := range h.sights {
		what := &h.sights[i].What
		switch what.Sight {
		case "stream_event":
			if what.Event == "FRAMEWORK_REMOVED" {
				e.frameworks[what.Subject] = true
			}
		case "ended":
			last[what.Framework] = true
		case "subscribed":
			last[what.Framework] = false
		case "agent_ended":
			agents[what.Agent] = true
		case "registered":
			former, known := ids[h.sights[i].Observer]
			if known && former != what.Agent {
				agents[former] = true
			}
			ids[h.sights[i].Observer] = what.Agent
		case "updated":
			if _, isState := parse(what.State); !isState {
				e.tasks[what.Framework+"/"+what.Task] = true
			}
		}
	}
	for framework, ended := range last {
		if ended {
			e.frameworks[framework] = true
		}
	}
	for i := range h.calls {
		call := &h.calls[i]
		asked := &call.Operation
		switch asked.Type {
		case "teardown":
			if !call.refused() {
				e.frameworks[asked.Framework] = true
			}
		case "launch":
			for _, task := range asked.Tasks {
				if agents[asked.Agent] {
					e.tasks[asked.Framework+"/"+task] = true
				}
			}
		case "report":
			if agents[asked.Agent] {
				e.tasks[asked.Framework+"/"+asked.Task] = true
			}
		}
	}
	return e
}
