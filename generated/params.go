package generated

// AgentsParams is a [ListAgentPagesParams] or, for the deprecated list operation, a
// [ListAgentsParams]. It selects the agents to list.
type AgentsParams interface{ selectsAgents() }

func (ListAgentPagesParams) selectsAgents() {}
func (ListAgentsParams) selectsAgents()     {}
