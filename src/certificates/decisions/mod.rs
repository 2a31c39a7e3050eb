//! When something is to be done, and when it may be: pure functions of (facts, now). They ask nobody and know no table.
