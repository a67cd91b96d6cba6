package generated

// AgentsParams selects agents: it is a [ListAgentPagesParams] or, for the deprecated list
// operation, a [ListAgentsParams].
type AgentsParams interface{ selectsAgents() }

func (ListAgentPagesParams) selectsAgents() {}
func (ListAgentsParams) selectsAgents()     {}
