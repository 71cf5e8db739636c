//! The only functions that change records. Each keeps the indexes, the derived sums and the state hash right.
