// Sarama, the oldest client in plain Go.
package main

import (
	"context"
	"errors"
	"strconv"

	"clients/scenario"

	"github.com/IBM/sarama"
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
	config := sarama.NewConfig()
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Return.Successes = true
	config.Producer.Partitioner = sarama.NewManualPartitioner
	producer, err := sarama.NewSyncProducer(c.bootstrap, config)
	if err != nil {
		return err
	}
	defer producer.Close()
	var messages []*sarama.ProducerMessage
	for index := range count {
		messages = append(messages, &sarama.ProducerMessage{
			Topic:     c.topic,
			Partition: int32(index % scenario.Partitions),
			Value:     sarama.StringEncoder(strconv.Itoa(index)),
		})
	}
	return producer.SendMessages(messages)
}

// handler notes what a member gets.
type handler struct{ member *scenario.Member }

func (h handler) Setup(session sarama.ConsumerGroupSession) error {
	count := 0
	for _, partitions := range session.Claims() {
		count += len(partitions)
	}
	h.member.Assign(count)
	return nil
}

func (h handler) Cleanup(sarama.ConsumerGroupSession) error {
	h.member.Assign(0)
	return nil
}

func (h handler) ConsumeClaim(
	session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim,
) error {
	for message := range claim.Messages() {
		h.member.See(message.Partition, message.Offset)
		session.MarkMessage(message, "")
	}
	// What was marked is committed when the session ends.
	return nil
}

func (c *client) Join(member *scenario.Member) (func() error, error) {
	config := sarama.NewConfig()
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	group, err := sarama.NewConsumerGroup(c.bootstrap, c.group, config)
	if err != nil {
		return nil, err
	}
	background, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for background.Err() == nil {
			err := group.Consume(background, []string{c.topic}, handler{member})
			if err != nil && !errors.Is(err, sarama.ErrClosedConsumerGroup) {
				member.Fail(err)
				return
			}
		}
	}()
	return func() error {
		stop()
		<-ended
		return group.Close()
	}, nil
}

func (c *client) Committed() (int64, error) { return c.committedBy(c.group) }

func (c *client) committedBy(group string) (int64, error) {
	admin, err := sarama.NewClusterAdmin(c.bootstrap, sarama.NewConfig())
	if err != nil {
		return 0, err
	}
	defer admin.Close()
	partitions := map[string][]int32{c.topic: {0, 1, 2, 3, 4, 5}}
	offsets, err := admin.ListConsumerGroupOffsets(group, partitions)
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, block := range offsets.Blocks[c.topic] {
		sum += block.Offset
	}
	return sum, nil
}
