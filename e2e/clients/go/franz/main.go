// franz-go, a client in plain Go.
package main

import (
	"context"
	"strconv"
	"sync/atomic"

	"clients/scenario"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

type client struct {
	bootstrap    []string
	topic, group string
}

func main() {
	scenario.Main(func(bootstrap []string, topic, group string) (scenario.Client, error) {
		return &client{bootstrap, topic, group}, nil
	})
}

func (c *client) Produce(count int) error {
	producer, err := kgo.NewClient(
		kgo.SeedBrokers(c.bootstrap...),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
	)
	if err != nil {
		return err
	}
	defer producer.Close()
	var records []*kgo.Record
	for index := range count {
		records = append(records, &kgo.Record{
			Topic:     c.topic,
			Partition: int32(index % scenario.Partitions),
			Value:     []byte(strconv.Itoa(index)),
		})
	}
	return producer.ProduceSync(context.Background(), records...).FirstErr()
}

func (c *client) Join(member *scenario.Member) (func() error, error) {
	var assigned atomic.Int32
	change := func(sign int32) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
			member.Assign(int(assigned.Add(sign * int32(len(partitions[c.topic])))))
		}
	}
	consumer, err := kgo.NewClient(
		kgo.SeedBrokers(c.bootstrap...),
		kgo.ConsumerGroup(c.group),
		kgo.ConsumeTopics(c.topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(change(1)),
		kgo.OnPartitionsRevoked(change(-1)),
		kgo.OnPartitionsLost(change(-1)),
	)
	if err != nil {
		return nil, err
	}
	background, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for background.Err() == nil {
			fetches := consumer.PollFetches(background)
			fetches.EachRecord(func(record *kgo.Record) { member.See(record.Partition, record.Offset) })
			if err := consumer.CommitUncommittedOffsets(context.Background()); err != nil {
				member.Fail(err)
			}
			consumer.AllowRebalance()
		}
	}()
	return func() error {
		stop()
		<-ended
		consumer.CloseAllowingRebalance()
		return nil
	}, nil
}

func (c *client) Committed() (int64, error) { return c.committedBy(c.group) }

func (c *client) committedBy(group string) (int64, error) {
	asking, err := kgo.NewClient(kgo.SeedBrokers(c.bootstrap...))
	if err != nil {
		return 0, err
	}
	defer asking.Close()
	offsets, err := kadm.NewClient(asking).FetchOffsets(context.Background(), group)
	var sum int64
	offsets.Each(func(offset kadm.OffsetResponse) { sum += offset.At })
	return sum, err
}
