package scheduler

import (
	"slices"
	"time"

	"nb201/results"
)

// queue distributes the trials of a run among its workers. A worker gets the trials of a unit
// (an architecture, dataset and schedule, with all seeds) one after another, because they share
// compiled programs. A queue is not safe for concurrent use.
type queue struct {
	order   []results.Trial   // not yet assigned to a worker, in the plan's order
	ahead   [][]results.Trial // by worker: the rest of its unit, then the unit to prepare next
	retries []waiting         // trials whose last attempt failed
	claimed []waiting         // trials of units that another run is training
}

// waiting is a trial to try again when it is due.
type waiting struct {
	results.Trial
	due time.Time
}

func newQueue(order []results.Trial, workers int) *queue {
	return &queue{order: order, ahead: make([][]results.Trial, workers)}
}

// take removes and returns the next trial for a worker, and the first trial of the unit after
// it, for which the worker can prepare; next is nil when there is none yet. ok is false when
// there is nothing to do for now.
func (q *queue) take(worker int, now time.Time) (t results.Trial, next *results.Trial, ok bool) {
	ahead := &q.ahead[worker]
	if t, ok := takeDue(&q.retries, now); ok {
		return t, nil, true
	}
	if len(*ahead) == 0 {
		*ahead = q.takeUnit()
	}
	if len(*ahead) == 0 {
		if t, ok := takeDue(&q.claimed, now); ok {
			return t, nil, true
		}
		*ahead = q.steal()
	}
	if len(*ahead) == 0 {
		return results.Trial{}, nil, false
	}
	t, *ahead = (*ahead)[0], (*ahead)[1:]
	following := func() int {
		return slices.IndexFunc(*ahead, func(a results.Trial) bool { return !sameUnit(a, t) })
	}
	if following() < 0 {
		*ahead = append(*ahead, q.takeUnit()...)
	}
	if i := following(); i >= 0 {
		following := (*ahead)[i] // a copy, because the slice is overwritten later
		next = &following
	}
	return t, next, true
}

// takeUnit removes and returns the first unit of the order.
func (q *queue) takeUnit() []results.Trial {
	n := 0
	for n < len(q.order) && sameUnit(q.order[n], q.order[0]) {
		n++
	}
	unit := slices.Clone(q.order[:n])
	q.order = q.order[n:]
	return unit
}

// steal takes the last unit of the worker with the most trials ahead, or half of that unit when
// the worker may already be training it.
func (q *queue) steal() []results.Trial {
	most := &q.ahead[0]
	for i := range q.ahead {
		if len(q.ahead[i]) > len(*most) {
			most = &q.ahead[i]
		}
	}
	a := *most
	n := len(a)
	for n > 0 && sameUnit(a[n-1], a[len(a)-1]) {
		n--
	}
	if n == 0 {
		n = len(a) / 2
	}
	*most = a[:n]
	return slices.Clone(a[n:])
}

// putBack returns a trial that was not begun to the front of its worker's list, from which
// another worker may steal it.
func (q *queue) putBack(worker int, t results.Trial) {
	q.ahead[worker] = slices.Insert(q.ahead[worker], 0, t)
}

// retry schedules another attempt at a trial.
func (q *queue) retry(t results.Trial, due time.Time) {
	q.retries = append(q.retries, waiting{t, due})
}

// deferUnit postpones t and the rest of its unit, because another run is training it. Whatever
// that run leaves undone is taken when nothing else is left.
func (q *queue) deferUnit(worker int, t results.Trial, due time.Time) {
	q.claimed = append(q.claimed, waiting{t, due})
	for a := &q.ahead[worker]; len(*a) > 0 && sameUnit((*a)[0], t); *a = (*a)[1:] {
		q.claimed = append(q.claimed, waiting{(*a)[0], due})
	}
}

// empty reports whether no trial is left to take, now or later.
func (q *queue) empty() bool {
	return len(q.order)+len(q.retries)+len(q.claimed) == 0 &&
		!slices.ContainsFunc(q.ahead, func(a []results.Trial) bool { return len(a) > 0 })
}

// takeDue removes and returns the first trial of a list that is due.
func takeDue(list *[]waiting, now time.Time) (results.Trial, bool) {
	i := slices.IndexFunc(*list, func(w waiting) bool { return !w.due.After(now) })
	if i < 0 {
		return results.Trial{}, false
	}
	t := (*list)[i].Trial
	*list = slices.Delete(*list, i, i+1)
	return t, true
}

// sameUnit reports whether two trials differ at most in their seed.
func sameUnit(a, b results.Trial) bool {
	a.Seed = b.Seed
	return a == b
}
