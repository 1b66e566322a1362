package metrics

import "fmt"

// Export returns everything that was counted, for the next generation's Inherit, and remembers it as told.
func (s *Set) Export() []byte {
	return s.tell(purposeWhole, func(_ *child, total amounts) (amounts, bool) { return total, true })
}

// Remainder returns what was counted since the last Export or Remainder, for Late in the generation in charge, and
// remembers it as told: a blob that did not arrive is to be sent again. It is for a process that another one has
// replaced for good; see Split where it must fit into something.
func (s *Set) Remainder() []byte {
	return s.tell(purposeRest, func(c *child, total amounts) (amounts, bool) {
		rest := c.rest(total)
		return rest, !rest.zero()
	})
}

func (s *Set) tell(why purpose, what func(c *child, total amounts) (amounts, bool)) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := newWriter(why)
	for _, f := range s.sortedFamilies() {
		for _, c := range f.sorted() {
			total := c.total() // once: what is counted from here on is the next remainder's
			if tellable, ok := what(c, total); ok {
				w.series(f.signature, c.labels, tellable)
				c.told = total
			}
		}
	}
	return w.blob()
}

// Inherit sets what the parent had counted when it made the blob by Export, in place of what an earlier one said. An
// error says that the blob is not one, and changes nothing: the counters then start from what they had.
func (s *Set) Inherit(blob []byte) error {
	list, err := parse(blob, purposeWhole)
	if err != nil {
		return fmt.Errorf("inherit metrics: %w; counters go on from what this process knows", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.families {
		for _, c := range f.sorted() {
			c.inherited = newAmounts(len(c.own))
		}
	}
	for _, x := range list {
		s.family(x.signature).child(x.labels).inherited.add(x.amounts)
	}
	return nil
}

// Late adds what an older generation counted after its Export: a blob of its Remainder, or a part of one. It must come
// once. An error says that the blob is not one, and changes nothing.
func (s *Set) Late(blob []byte) error {
	list, err := parse(blob, purposeRest)
	if err != nil {
		return fmt.Errorf("add late metrics: %w; what the older generation counted last is missing", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range list {
		s.family(x.signature).child(x.labels).late.add(x.amounts)
	}
	return nil
}

// Split returns a Remainder's blob in parts of at most limit bytes, for a channel whose messages are limited. Late
// takes them one by one. Only a single series with long labels, of a few KiB, can make a part larger than limit. A
// blob that tells nothing has no parts, and so has one that is no remainder.
func Split(blob []byte, limit int) [][]byte {
	list, err := parse(blob, purposeRest)
	if err != nil {
		return nil
	}
	var parts [][]byte
	w := newWriter(purposeRest)
	for _, x := range list {
		without := *w
		w.series(x.signature, x.labels, x.amounts)
		if w.size() > limit && !without.empty() {
			parts = append(parts, without.blob())
			w = newWriter(purposeRest)
			w.series(x.signature, x.labels, x.amounts)
		}
	}
	if !w.empty() {
		parts = append(parts, w.blob())
	}
	return parts
}
