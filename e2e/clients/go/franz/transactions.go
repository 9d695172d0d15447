package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"clients/scenario"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// session consumes the topic and produces in transactions: what it has consumed is committed with
// each, and is consumed again after an abort.
type session struct {
	inner *kgo.GroupTransactSession
	topic string
}

var _ scenario.Transactional = (*client)(nil)

func (c *client) transactions() string { return c.topic + "-transactions" }

func (c *client) CommittedInTransactions() (int64, error) {
	return c.committedBy(c.group + "-transactions")
}

func (c *client) Open() (scenario.Producer, error) {
	inner, err := kgo.NewGroupTransactSession(
		kgo.SeedBrokers(c.bootstrap...),
		kgo.TransactionalID(c.group+"-transactions"),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ConsumerGroup(c.group+"-transactions"),
		kgo.ConsumeTopics(c.topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.RequireStableFetchOffsets(),
	)
	if err != nil {
		return nil, err
	}
	_, _, err = inner.Client().ProducerID(context.Background())
	return &session{inner, c.transactions()}, err
}

func (s *session) Begin() error { return s.inner.Begin() }

func (s *session) Send(values []string) error {
	var records []*kgo.Record
	for index, value := range values {
		partition := int32(index % scenario.Partitions)
		record := &kgo.Record{Topic: s.topic, Partition: partition, Value: []byte(value)}
		records = append(records, record)
	}
	return s.inner.ProduceSync(context.Background(), records...).FirstErr()
}

// SendOffsets consumes as many records as the group is to move on by: End commits them.
func (s *session) SendOffsets(int64) error {
	limit, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	for missing := scenario.Partitions; missing > 0; {
		fetches := s.inner.PollRecords(limit, missing)
		if err := fetches.Err(); err != nil {
			return err
		}
		missing -= fetches.NumRecords()
	}
	return nil
}

func (s *session) Commit() error { return s.end(kgo.TryCommit) }
func (s *session) Abort() error  { return s.end(kgo.TryAbort) }

func (s *session) Close() error {
	s.inner.Close()
	return nil
}

func (s *session) end(try kgo.TransactionEndTry) error {
	committed, err := s.inner.End(context.Background(), try)
	if err == nil && committed != bool(try) {
		return fmt.Errorf("a transaction ended otherwise: committed is %v", committed)
	}
	return err
}

func (c *client) IsFenced(err error) bool {
	return errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch)
}

func (c *client) Read(isCommittedOnly bool, see func(string) bool) error {
	isolation := kgo.ReadUncommitted()
	if isCommittedOnly {
		isolation = kgo.ReadCommitted()
	}
	consumer, err := kgo.NewClient(
		kgo.SeedBrokers(c.bootstrap...),
		kgo.ConsumeTopics(c.transactions()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(isolation),
	)
	if err != nil {
		return err
	}
	defer consumer.Close()
	limit, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	for goesOn := true; goesOn; {
		fetches := consumer.PollFetches(limit)
		if err := fetches.Err(); err != nil {
			return err
		}
		fetches.EachRecord(func(record *kgo.Record) { goesOn = see(string(record.Value)) })
	}
	return nil
}
