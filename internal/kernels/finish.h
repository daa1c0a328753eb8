// What loops do to their results before they store them, so that no other loop reads and writes them again.

#ifndef NB201_FINISH_H_
#define NB201_FINISH_H_

enum { ADDENDS = 7 };

// finish says how results become a part of a map y, in this order. factor and offset are [channels], and the other maps
// are like y. All but y is optional.
struct finish {
	const float *y;               // where the map begins; results go to any place in it
	const float *factor, *offset; // results are multiplied by factor, and offset is added to them,
	const float *by;              // replaced by 0 where by is not positive and not NaN,
	int addends;                  // and these are added to them.
	const float *addend[ADDENDS];
};

#endif
