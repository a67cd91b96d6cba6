package generated

// AgentsParams selects agents: [ListAgentPagesParams], or [ListAgentsParams] of the
// operation that the API calls deprecated.
type AgentsParams interface{ selectsAgents() }

func (ListAgentPagesParams) selectsAgents() {}
func (ListAgentsParams) selectsAgents()     {}
