package scenario

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

const (
	transactions = 12
	inEach       = 30
	end          = "end"
)

// Producer has a transactional id.
type Producer interface {
	// Begin begins a transaction.
	Begin() error
	// Send sends values round the partitions, within the transaction, and waits for them.
	Send(values []string) error
	// SendOffsets moves the group on by a record in each partition of the topic that is consumed,
	// if the transaction is committed; next is the offset in each then.
	SendOffsets(next int64) error
	// Commit commits the transaction.
	Commit() error
	// Abort aborts the transaction.
	Abort() error
	// Close lets go of it.
	Close() error
}

// Transactional is what a library must do that has transactions.
type Transactional interface {
	// Open gives a producer that has taken over the id.
	Open() (Producer, error)
	// IsFenced says whether that is what an error tells.
	IsFenced(err error) bool
	// CommittedInTransactions is the sum of the offsets of the group that producers tell.
	CommittedInTransactions() (int64, error)
	// Read passes on the values of the topic of transactions until it is told false.
	Read(isCommittedOnly bool, see func(value string) bool) error
}

// inTransactions writes numbered records in transactions, each third of which is aborted; then
// another producer takes over.
func inTransactions(client Transactional) (string, error) {
	first, err := client.Open()
	if err != nil {
		return "", fmt.Errorf("a transactional producer: %w", err)
	}
	defer first.Close()
	var kept, dropped []string
	next := int64(1)
	for number := 1; number <= transactions; number++ {
		isKept := number%3 != 0
		values, err := transact(first, number, next, isKept)
		if err != nil {
			return "", fmt.Errorf("transaction %d: %w", number, err)
		}
		if isKept {
			kept = append(kept, values...)
			next++
		} else {
			dropped = append(dropped, values...)
		}
	}
	committed, err := client.CommittedInTransactions()
	if err != nil {
		return "", fmt.Errorf("offsets committed in transactions: %w", err)
	}
	if expected := (next - 1) * Partitions; committed != expected {
		return "", fmt.Errorf("%d is committed by transactions, not %d", committed, expected)
	}
	if err := fence(client, first); err != nil {
		return "", err
	}
	dropped = append(dropped, "fenced")
	if err := expect(client, true, kept); err != nil {
		return "", fmt.Errorf("read committed: %w", err)
	}
	if err := expect(client, false, slices.Concat(kept, dropped)); err != nil {
		return "", fmt.Errorf("read uncommitted: %w", err)
	}
	return fmt.Sprintf("; %d records in transactions, and %d in aborted ones; fenced",
		len(kept), len(dropped)), nil
}

func transact(producer Producer, number int, next int64, isKept bool) ([]string, error) {
	var values []string
	for index := range inEach {
		values = append(values, strconv.Itoa((number-1)*inEach+index))
	}
	if err := producer.Begin(); err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	if err := producer.Send(values); err != nil {
		return nil, fmt.Errorf("send: %w", err)
	}
	if err := producer.SendOffsets(next); err != nil {
		return nil, fmt.Errorf("send offsets: %w", err)
	}
	if isKept {
		return values, producer.Commit()
	}
	return values, producer.Abort()
}

// fence lets a second producer take over in the midst of a transaction of the first, and write the
// last record of each partition.
func fence(client Transactional, first Producer) error {
	if err := first.Begin(); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := first.Send([]string{"fenced"}); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	second, err := client.Open()
	if err != nil {
		return fmt.Errorf("a second producer: %w", err)
	}
	defer second.Close()
	switch err := first.Commit(); {
	case err == nil:
		return fmt.Errorf("a producer committed after another took over")
	case !client.IsFenced(err):
		return fmt.Errorf("a commit after another took over: %w", err)
	}
	if err := second.Begin(); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := second.Send(slices.Repeat([]string{end}, Partitions)); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return second.Commit()
}

// expect reads what comes before the last record of each partition.
func expect(client Transactional, isCommittedOnly bool, expected []string) error {
	deadline := time.Now().Add(time.Minute)
	var values []string
	ends := 0
	err := client.Read(isCommittedOnly, func(value string) bool {
		if value == end {
			ends++
		} else {
			values = append(values, value)
		}
		return ends < Partitions && time.Now().Before(deadline)
	})
	if err != nil {
		return err
	}
	slices.Sort(values)
	slices.Sort(expected)
	if ends != Partitions || !slices.Equal(values, expected) {
		different := len(slices.Compact(slices.Clone(values)))
		return fmt.Errorf("%d values, %d different ones, and %d ends came instead of %d",
			len(values), different, ends, len(expected))
	}
	return nil
}
