package scheduler

import (
	"slices"
	"time"

	"nb201/results"
)

// queue deals the trials of a run to its workers. Each gets all seeds of an
// architecture on a dataset along a schedule, a unit, one after another: they share
// compiled programs.
type queue struct {
	order   []results.Trial   // that no worker has yet, in the plan's order
	ahead   [][]results.Trial // by worker: the rest of its unit, then a unit to prepare for
	retries []waiting         // whose attempt failed
	claimed []waiting         // of units that another run has
}

// waiting is a trial to be looked at again.
type waiting struct {
	results.Trial
	due time.Time
}

func newQueue(order []results.Trial, workers int) *queue {
	return &queue{order: order, ahead: make([][]results.Trial, workers)}
}

// take gives a worker its next trial, and the one after its unit, nil when there is
// none yet. ok is false when there is nothing for it now.
func (q *queue) take(worker int, now time.Time) (t results.Trial, next *results.Trial, ok bool) {
	ahead := &q.ahead[worker]
	if t, ok := due(&q.retries, now); ok {
		return t, nil, true
	}
	if len(*ahead) == 0 {
		*ahead = q.unit()
	}
	if len(*ahead) == 0 {
		if t, ok := due(&q.claimed, now); ok {
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
		*ahead = append(*ahead, q.unit()...)
	}
	if i := following(); i >= 0 {
		following := (*ahead)[i] // a copy: the list changes
		next = &following
	}
	return t, next, true
}

// unit takes the first unit from the order.
func (q *queue) unit() []results.Trial {
	n := 0
	for n < len(q.order) && sameUnit(q.order[n], q.order[0]) {
		n++
	}
	unit := slices.Clone(q.order[:n])
	q.order = q.order[n:]
	return unit
}

// steal takes, from the worker that has most ahead, its last unit, or half of it when
// it may be at that unit already.
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

// putBack has a trial that was not begun be the next that its worker takes, or that
// another takes from it.
func (q *queue) putBack(worker int, t results.Trial) {
	q.ahead[worker] = slices.Insert(q.ahead[worker], 0, t)
}

// retry has a trial be tried again when it is due.
func (q *queue) retry(t results.Trial, due time.Time) {
	q.retries = append(q.retries, waiting{t, due})
}

// leave has a worker leave the unit of a trial that another run has to that run; what
// it does not do is looked at when there is nothing else.
func (q *queue) leave(worker int, t results.Trial, due time.Time) {
	q.claimed = append(q.claimed, waiting{t, due})
	for a := &q.ahead[worker]; len(*a) > 0 && sameUnit((*a)[0], t); *a = (*a)[1:] {
		q.claimed = append(q.claimed, waiting{(*a)[0], due})
	}
}

// empty tells that every trial was taken for good.
func (q *queue) empty() bool {
	return len(q.order)+len(q.retries)+len(q.claimed) == 0 &&
		!slices.ContainsFunc(q.ahead, func(a []results.Trial) bool { return len(a) > 0 })
}

// due takes the first trial of a list that is due.
func due(list *[]waiting, now time.Time) (results.Trial, bool) {
	i := slices.IndexFunc(*list, func(w waiting) bool { return !w.due.After(now) })
	if i < 0 {
		return results.Trial{}, false
	}
	t := (*list)[i].Trial
	*list = slices.Delete(*list, i, i+1)
	return t, true
}

func sameUnit(a, b results.Trial) bool {
	a.Seed = b.Seed
	return a == b
}
