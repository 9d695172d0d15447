// Package scenario is what every Go client does: see the README beside this folder.
package scenario

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	// Records are produced at a time.
	Records = 600
	// Partitions of the topic.
	Partitions = 6
)

// Place is where a record lies.
type Place struct {
	Partition int32
	Offset    int64
}

// Member is what a group's member has so far. It may be used from several goroutines.
type Member struct {
	lock     sync.Mutex
	seen     []Place
	assigned int
	failure  error
}

// See notes a record.
func (m *Member) See(partition int32, offset int64) {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.seen = append(m.seen, Place{partition, offset})
}

// Assign notes how many partitions the member has.
func (m *Member) Assign(count int) {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.assigned = count
}

// Fail notes why the member cannot go on.
func (m *Member) Fail(err error) {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.failure = err
}

func (m *Member) state() (int, []Place, error) {
	m.lock.Lock()
	defer m.lock.Unlock()
	return m.assigned, append([]Place(nil), m.seen...), m.failure
}

// Client is what a library must do.
type Client interface {
	// Produce sends so many records round the partitions and waits for them.
	Produce(count int) error
	// Join starts a member; the function that it returns makes it leave.
	Join(member *Member) (leave func() error, err error)
	// Committed is the sum of the group's offsets.
	Committed() (int64, error)
}

// Main runs the scenario with a client for (bootstrap, topic, group) and ends the process.
func Main(open func(bootstrap []string, topic, group string) (Client, error)) {
	client, err := open(strings.Split(os.Args[1], ","), os.Args[2], os.Args[3])
	if err == nil {
		err = run(client)
	}
	transacted := ""
	if transactional, can := client.(Transactional); can && err == nil {
		transacted, err = inTransactions(transactional)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Printf("ok: %d records, each once; 3 + 3 partitions, then 6%s\n", 2*Records, transacted)
}

func run(client Client) error {
	if err := client.Produce(Records); err != nil {
		return fmt.Errorf("produce: %w", err)
	}
	members := []*Member{{}, {}}
	var leave []func() error
	for _, member := range members {
		left, err := client.Join(member)
		if err != nil {
			return fmt.Errorf("join: %w", err)
		}
		leave = append(leave, left)
	}
	if err := until("three partitions each", members, func(assigned []int, _ []Place) bool {
		return assigned[0] == 3 && assigned[1] == 3
	}); err != nil {
		return err
	}
	if err := until("all records", members, func(_ []int, seen []Place) bool {
		return len(seen) >= Records
	}); err != nil {
		return err
	}
	if err := leave[1](); err != nil {
		return fmt.Errorf("leave: %w", err)
	}
	if err := until("all partitions", members, func(assigned []int, _ []Place) bool {
		return assigned[0] == Partitions
	}); err != nil {
		return err
	}
	if err := client.Produce(Records); err != nil {
		return fmt.Errorf("produce: %w", err)
	}
	if err := until("the records after one left", members, func(_ []int, seen []Place) bool {
		return len(seen) >= 2*Records
	}); err != nil {
		return err
	}
	if err := leave[0](); err != nil {
		return fmt.Errorf("leave: %w", err)
	}
	return verdict(client, members)
}

func verdict(client Client, members []*Member) error {
	different := map[Place]bool{}
	count := 0
	for _, member := range members {
		_, seen, _ := member.state()
		count += len(seen)
		for _, place := range seen {
			different[place] = true
		}
	}
	if len(different) != count {
		return fmt.Errorf("%d records came, %d different ones", count, len(different))
	}
	committed, err := client.Committed()
	if err != nil {
		return fmt.Errorf("committed: %w", err)
	}
	if committed != 2*Records {
		return fmt.Errorf("%d records are committed, %d were consumed", committed, 2*Records)
	}
	return nil
}

func until(what string, members []*Member, reached func([]int, []Place) bool) error {
	deadline := time.Now().Add(time.Minute)
	for {
		var assigned []int
		var seen []Place
		for _, member := range members {
			one, places, failure := member.state()
			if failure != nil {
				return failure
			}
			assigned = append(assigned, one)
			seen = append(seen, places...)
		}
		if reached(assigned, seen) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s did not come: %v, %d records", what, assigned, len(seen))
		}
		time.Sleep(50 * time.Millisecond)
	}
}
