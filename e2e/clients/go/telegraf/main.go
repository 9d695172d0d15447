// Telegraf's way with Sarama: metrics as lines of Influx's protocol, sent in batches to the partition
// that a hash of the host chooses, and consumed by a group that commits what was delivered.
package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"clients/scenario"

	"github.com/IBM/sarama"
)

// batch is Telegraf's metric_batch_size, made smaller so that there are several.
const batch = 200

type client struct {
	bootstrap    []string
	topic, group string
}

func main() {
	scenario.Main(func(bootstrap []string, topic, group string) (scenario.Client, error) {
		return &client{bootstrap, topic, group}, nil
	})
}

func settings() *sarama.Config {
	config := sarama.NewConfig()
	config.ClientID = "Telegraf"
	config.Metadata.Full = false
	return config
}

func (c *client) Produce(count int) error {
	config := settings()
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Retry.Max = 3
	config.Producer.Return.Successes = true
	config.Producer.Compression = sarama.CompressionGZIP
	producer, err := sarama.NewSyncProducer(c.bootstrap, config)
	if err != nil {
		return err
	}
	defer producer.Close()
	var messages []*sarama.ProducerMessage
	for index := range count {
		host := fmt.Sprintf("host-%d", index%40)
		now := time.Now()
		line := fmt.Sprintf("cpu,cpu=cpu0,host=%s usage_idle=%d.5,n=%di %d\n",
			host, index%100, index, now.UnixNano())
		messages = append(messages, &sarama.ProducerMessage{
			Topic:     c.topic,
			Key:       sarama.StringEncoder(host),
			Value:     sarama.ByteEncoder(line),
			Timestamp: now,
		})
		if len(messages) == batch || index == count-1 {
			if err := producer.SendMessages(messages); err != nil {
				return err
			}
			messages = nil
		}
	}
	return nil
}

// handler takes lines, as Telegraf's input does with the format "influx".
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
	for {
		select {
		case <-session.Context().Done():
			return nil
		case message, isOpen := <-claim.Messages():
			if !isOpen {
				return nil
			}
			if err := check(message); err != nil {
				h.member.Fail(err)
				return err
			}
			h.member.See(message.Partition, message.Offset)
			session.MarkMessage(message, "")
		}
	}
}

// check takes a line apart: measurement and tags, fields, time.
func check(message *sarama.ConsumerMessage) error {
	parts := strings.Split(strings.TrimSuffix(string(message.Value), "\n"), " ")
	host := ",host=" + string(message.Key)
	if len(parts) != 3 || !strings.HasSuffix(parts[0], host) {
		return fmt.Errorf("%d/%d is no line of that host: %q",
			message.Partition, message.Offset, message.Value)
	}
	return nil
}

func (c *client) Join(member *scenario.Member) (func() error, error) {
	config := settings()
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Return.Errors = true
	group, err := sarama.NewConsumerGroup(c.bootstrap, c.group, config)
	if err != nil {
		return nil, err
	}
	background, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		for err := range group.Errors() {
			member.Fail(err)
		}
	}()
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

func (c *client) Committed() (int64, error) {
	admin, err := sarama.NewClusterAdmin(c.bootstrap, sarama.NewConfig())
	if err != nil {
		return 0, err
	}
	defer admin.Close()
	partitions := map[string][]int32{c.topic: {0, 1, 2, 3, 4, 5}}
	offsets, err := admin.ListConsumerGroupOffsets(c.group, partitions)
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, block := range offsets.Blocks[c.topic] {
		// A partition without a record has no offset.
		sum += max(block.Offset, 0)
	}
	return sum, nil
}
