package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	cfg "github.com/cometbft/cometbft/config"
	"github.com/cometbft/cometbft/libs/log"
	"github.com/cometbft/cometbft/node"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/privval"
	"github.com/cometbft/cometbft/proxy"
	rpc "github.com/cometbft/cometbft/rpc/client/http"
	"github.com/cometbft/cometbft/types"
	"github.com/spf13/viper"
)

// tuned is a configuration for short rounds: no wait after a commit, quick
// gossip, no limit of bandwidth, no second check of what is in the pool, no index.
func tuned() *cfg.Config {
	c := cfg.DefaultConfig()
	c.Consensus.TimeoutCommit = 0
	c.Consensus.PeerGossipSleepDuration = 2 * time.Millisecond
	c.P2P.FlushThrottleTimeout = time.Millisecond
	c.P2P.SendRate, c.P2P.RecvRate = 512<<20, 512<<20
	c.P2P.AddrBookStrict, c.P2P.AllowDuplicateIP, c.P2P.PexReactor = false, true, false
	c.Mempool.Size, c.Mempool.CacheSize, c.Mempool.Recheck = 100_000, 200_000, false
	c.RPC.MaxRequestBatchSize, c.RPC.SubscriptionBufferSize, c.RPC.WebSocketWriteBufferSize = 0, 2000, 2000
	c.TxIndex.Indexer = "null"
	return c
}

type network struct {
	nodes   []*exec.Cmd
	clients []*rpc.HTTP
	events  *rpc.HTTP
	signed  bool
	counter uint64
}

func start(nodes int, dir string, signed bool) (*network, error) {
	homes, ports, err := testnet(nodes, dir)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	n := &network{signed: signed}
	for i, home := range homes {
		cmd := exec.Command(self, "-node", home, fmt.Sprintf("-signed=%v", signed))
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if cmd.Stderr, err = os.Create(filepath.Join(home, "log")); err != nil {
			return nil, err
		}
		if err := cmd.Start(); err != nil {
			n.stop()
			return nil, err
		}
		n.nodes = append(n.nodes, cmd)
		c, err := rpc.New(fmt.Sprintf("http://127.0.0.1:%d", ports[2*i]))
		if err != nil {
			n.stop()
			return nil, err
		}
		n.clients = append(n.clients, c)
	}
	n.events = n.clients[0]
	if err := n.ready(); err != nil {
		n.stop()
		return nil, err
	}
	return n, nil
}

// ready waits for a few blocks everywhere.
func (n *network) ready() error {
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		up := 0
		for _, c := range n.clients {
			if s, err := c.Status(context.Background()); err == nil && s.SyncInfo.LatestBlockHeight >= 3 {
				up++
			}
		}
		if up == len(n.clients) {
			return n.events.Start()
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d of %d validators make blocks after a minute", up, len(n.clients))
		}
	}
}

func (n *network) stop() {
	for _, cmd := range n.nodes {
		cmd.Process.Kill()
		cmd.Wait()
	}
}

// testnet writes keys, genesis and configuration of each validator.
func testnet(nodes int, dir string) (homes []string, ports []int, err error) {
	if ports, err = freePorts(2 * nodes); err != nil {
		return nil, nil, err
	}
	doc := &types.GenesisDoc{ChainID: "bench", ConsensusParams: types.DefaultConsensusParams(), GenesisTime: time.Now(), InitialHeight: 1}
	var configs []*cfg.Config
	var peers []string
	for i := range nodes {
		c := tuned()
		home := filepath.Join(dir, fmt.Sprint("node", i))
		c.SetRoot(home)
		cfg.EnsureRoot(home)
		key, err := privval.GenFilePV(c.PrivValidatorKeyFile(), c.PrivValidatorStateFile(), nil)
		if err != nil {
			return nil, nil, err
		}
		key.Save()
		id, err := p2p.LoadOrGenNodeKey(c.NodeKeyFile())
		if err != nil {
			return nil, nil, err
		}
		pub, err := key.GetPubKey()
		if err != nil {
			return nil, nil, err
		}
		doc.Validators = append(doc.Validators, types.GenesisValidator{Address: pub.Address(), PubKey: pub, Power: 1, Name: fmt.Sprint("node", i)})
		peers = append(peers, p2p.IDAddressString(id.ID(), fmt.Sprintf("127.0.0.1:%d", ports[2*i+1])))
		c.RPC.ListenAddress = fmt.Sprintf("tcp://127.0.0.1:%d", ports[2*i])
		c.P2P.ListenAddress = fmt.Sprintf("tcp://127.0.0.1:%d", ports[2*i+1])
		configs, homes = append(configs, c), append(homes, home)
	}
	for i, c := range configs {
		c.P2P.PersistentPeers = strings.Join(peers, ",")
		cfg.WriteConfigFile(filepath.Join(homes[i], "config", "config.toml"), c)
		if err := doc.SaveAs(c.GenesisFile()); err != nil {
			return nil, nil, err
		}
	}
	return homes, ports, nil
}

func freePorts(n int) (ports []int, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// validate is the life of one validator.
func validate(home string, signed bool) error {
	c, err := configOf(home)
	if err != nil {
		return err
	}
	key := privval.LoadFilePV(c.PrivValidatorKeyFile(), c.PrivValidatorStateFile())
	id, err := p2p.LoadNodeKey(c.NodeKeyFile())
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	logger := log.NewFilter(log.NewTMLogger(log.NewSyncWriter(os.Stderr)), log.AllowError())
	n, err := node.NewNode(ctx, c, key, id, proxy.NewLocalClientCreator(newStore(signed)), node.DefaultGenesisDocProviderFunc(c), cfg.DefaultDBProvider,
		node.DefaultMetricsProvider(c.Instrumentation), logger)
	if err != nil {
		return err
	}
	if err := n.Start(); err != nil {
		return err
	}
	<-ctx.Done()
	return n.Stop()
}

func configOf(home string) (*cfg.Config, error) {
	c := tuned()
	v := viper.New()
	v.SetConfigFile(filepath.Join(home, "config", "config.toml"))
	if err := v.ReadInConfig(); err != nil {
		return nil, err
	}
	if err := v.Unmarshal(c); err != nil {
		return nil, err
	}
	c.SetRoot(home)
	return c, c.ValidateBasic()
}
