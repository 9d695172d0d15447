package main

import (
	"errors"
	"time"

	"clients/scenario"

	"github.com/IBM/sarama"
)

// producer is one with a transactional id.
type producer struct {
	sarama.SyncProducer
	client *client
}

var _ scenario.Transactional = (*client)(nil)

func (c *client) transactions() string { return c.topic + "-transactions" }

func (c *client) CommittedInTransactions() (int64, error) {
	return c.committedBy(c.group + "-transactions")
}

func (c *client) Open() (scenario.Producer, error) {
	config := sarama.NewConfig()
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Return.Successes = true
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Producer.Idempotent = true
	config.Producer.Transaction.ID = c.group + "-transactions"
	config.Net.MaxOpenRequests = 1
	inner, err := sarama.NewSyncProducer(c.bootstrap, config)
	return &producer{inner, c}, err
}

func (p *producer) Begin() error  { return p.BeginTxn() }
func (p *producer) Commit() error { return p.CommitTxn() }
func (p *producer) Abort() error  { return p.AbortTxn() }

func (p *producer) Send(values []string) error {
	var messages []*sarama.ProducerMessage
	for index, value := range values {
		messages = append(messages, &sarama.ProducerMessage{
			Topic:     p.client.transactions(),
			Partition: int32(index % scenario.Partitions),
			Value:     sarama.StringEncoder(value),
		})
	}
	return p.SendMessages(messages)
}

func (p *producer) SendOffsets(next int64) error {
	var told []*sarama.PartitionOffsetMetadata
	for partition := range int32(scenario.Partitions) {
		told = append(told, &sarama.PartitionOffsetMetadata{Partition: partition, Offset: next})
	}
	offsets := map[string][]*sarama.PartitionOffsetMetadata{p.client.topic: told}
	return p.AddOffsetsToTxn(offsets, p.client.group+"-transactions")
}

func (c *client) IsFenced(err error) bool {
	return errors.Is(err, sarama.ErrProducerFenced) || errors.Is(err, sarama.ErrInvalidProducerEpoch)
}

func (c *client) Read(isCommittedOnly bool, see func(string) bool) error {
	config := sarama.NewConfig()
	if isCommittedOnly {
		config.Consumer.IsolationLevel = sarama.ReadCommitted
	}
	consumer, err := sarama.NewConsumer(c.bootstrap, config)
	if err != nil {
		return err
	}
	defer consumer.Close()
	values := make(chan string)
	ended := make(chan struct{})
	defer close(ended)
	for partition := range int32(scenario.Partitions) {
		claim, err := consumer.ConsumePartition(c.transactions(), partition, sarama.OffsetOldest)
		if err != nil {
			return err
		}
		defer claim.AsyncClose()
		go pass(claim.Messages(), values, ended)
	}
	limit := time.After(time.Minute)
	for {
		select {
		case value := <-values:
			if !see(value) {
				return nil
			}
		case <-limit:
			return errors.New("the topic of transactions cannot be read to its end")
		}
	}
}

func pass(messages <-chan *sarama.ConsumerMessage, values chan<- string, ended <-chan struct{}) {
	for message := range messages {
		select {
		case values <- string(message.Value):
		case <-ended:
		}
	}
}
